# SPDX-License-Identifier: Apache-2.0
"""One picture: its results beside each other as PNG."""

from __future__ import annotations

from PIL import Image

from dinoiser_ros.errors import FrameSourceError, MediaError
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.utils.atomic_files import atomic_write

from .frame_sources import read_picture
from .inputs import Input
from .rendering import Shares, render
from .settings import RESULTS, Outcome, Settings


def segment_picture(segmenter: Segmenter, picture: Input, settings: Settings) -> Outcome:
    """Write <name>_overlay.png, _labels.png (class ids) and _confidence.png (0 to 255).

    Results of an earlier run are replaced.

    Raises:
        DinoiserError, OSError: the picture cannot be read or segmented, or nothing written.
    """
    try:
        image = read_picture(picture.path)
    except FrameSourceError as error:
        raise MediaError(str(error)) from error
    result = segmenter.segment(image)
    arrays = render(image, result, settings.wanted(RESULTS), settings.alpha)
    for kind, array in arrays.items():
        place = settings.output / f"{picture.name}_{kind}.png"
        # Of thousands of pictures, waiting for the disk would cost more than one made again.
        with atomic_write(place, durable=False) as file:
            Image.fromarray(array).save(file)
    shares = Shares(result.classes)
    shares.add(result)
    return Outcome(str(shares))
