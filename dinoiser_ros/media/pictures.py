# SPDX-License-Identifier: Apache-2.0
"""One picture: its results beside each other as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dinoiser_ros.errors import MediaError, PictureError
from dinoiser_ros.pictures.decode import PictureFile
from dinoiser_ros.segmentation import Segmentation, Segmenter
from dinoiser_ros.utils.atomic_files import atomic_write

from .batches import segment_together
from .datasets.pseudo_labels import pair_of, picture_place, write_pair
from .frame_sources import picture_error
from .inputs import Input
from .rendering import Shares, render
from .settings import RESULTS, Outcome, Settings, check_own
from .videos import segment_video


def segment_picture(segmenter: Segmenter, picture: Input, settings: Settings) -> Outcome:
    """Write <name>_overlay.png, _labels.png (class ids) and _confidence.png (0 to 255).

    Results of an earlier run are replaced. A file with several pictures, an animation or pages, is
    segmented as a video is.

    Raises:
        DinoiserError, OSError: the picture cannot be read or segmented, or nothing written.
    """
    (found,) = segment_pictures(segmenter, [(picture, settings)])
    if isinstance(found, Exception):
        raise found
    return found


def segment_pictures(
    segmenter: Segmenter, pictures: Sequence[tuple[Input, Settings]]
) -> list[Outcome | Exception]:
    """`segment_picture` for several that go through the network together.

    Returns:
        For each one its outcome, or why there is none.
    """
    images: dict[int, np.ndarray] = {}
    found: dict[int, Outcome | Exception] = {}
    for number, (picture, settings) in enumerate(pictures):
        try:
            image = _only_picture(picture.path)
            if image is None:
                found[number] = segment_video(segmenter, picture, settings)
            else:
                images[number] = image
        except Exception as error:  # whatever one picture does, the others are segmented
            found[number] = error
    results = segment_together(segmenter, list(images.values()))
    for (number, image), result in zip(images.items(), results, strict=True):
        try:
            found[number] = _write(segmenter, *pictures[number], image, result)
        except Exception as error:  # as above
            found[number] = error
    return [found[number] for number in range(len(pictures))]


def _write(
    segmenter: Segmenter,
    picture: Input,
    settings: Settings,
    image: np.ndarray,
    result: Segmentation | Exception,
) -> Outcome:
    if isinstance(result, Exception):
        raise result
    for kind in settings.wanted(RESULTS):
        check_own(settings.output / f"{picture.name}_{kind}.png")
    arrays = render(image, result, settings.wanted(RESULTS), settings.alpha)
    for kind, array in arrays.items():
        place = settings.output / f"{picture.name}_{kind}.png"
        # Of thousands of pictures, waiting for the disk would cost more than one made again.
        with atomic_write(place, durable=False) as file:
            Image.fromarray(array).save(file)
    if settings.pseudo_labels:
        pair = pair_of(image, result, segmenter.shorter_side(segmenter.options))
        write_pair(picture_place(settings.output, picture), pair)
    shares = Shares(result.classes)
    shares.add(result)
    return Outcome(str(shares), unfamiliar=shares.unfamiliar_world(segmenter))


def _only_picture(path: Path) -> np.ndarray | None:
    """(H, W, 3) uint8 RGB of a file with one picture, None for one with several."""
    try:
        with PictureFile(path) as file:
            return file.read() if file.count == 1 else None
    except PictureError as error:
        raise MediaError(str(picture_error(path, error))) from error
