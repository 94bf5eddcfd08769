# SPDX-License-Identifier: Apache-2.0
"""One input of any kind: what is done with a picture, a video and a bag."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

from dinoiser_ros.errors import MediaError
from dinoiser_ros.media.bags.segment import segment_bag
from dinoiser_ros.segmentation import Segmenter

from .batches import batched
from .inputs import BAG, PICTURE, SUPPORTED, VIDEO, Input
from .pictures import segment_picture, segment_pictures
from .settings import Outcome, Settings
from .videos import segment_video

_SEGMENT: dict[str, Callable[[Segmenter, Input, Settings], Outcome]] = {
    PICTURE: segment_picture,
    VIDEO: segment_video,
    BAG: segment_bag,
}


def segment_input(segmenter: Segmenter, entry: Input, settings: Settings) -> Outcome:
    """Write the results of one input.

    Raises:
        DinoiserError, OSError: it cannot be read or segmented, or nothing written; then nothing is
            left under the final names.
    """
    return _SEGMENT[checked_kind(entry)](segmenter, entry, settings)


def segment_inputs(
    segmenter: Segmenter, work: Iterable[tuple[Input, Settings]], batch: int
) -> Iterator[tuple[Input, Outcome | Exception]]:
    """Segment inputs in their order; whatever one does, the others are segmented.

    Args:
        segmenter: with its prompts set.
        work: inputs, each with its settings.
        batch: how many pictures that follow one another go through the network together.

    Yields:
        Each input with its outcome, or why there is none.
    """
    for is_picture, group in groupby(work, lambda item: _is_picture(item[0])):
        for part in batched(group, batch if is_picture else 1):
            found = segment_pictures(segmenter, part) if is_picture else [_try(segmenter, *part[0])]
            yield from zip((entry for entry, _ in part), found, strict=True)


def _is_picture(entry: Input) -> bool:
    return entry.kind == PICTURE and not entry.problem and entry.path.exists()


def _try(segmenter: Segmenter, entry: Input, settings: Settings) -> Outcome | Exception:
    try:
        return segment_input(segmenter, entry, settings)
    except Exception as error:
        return error


def checked_kind(entry: Input) -> str:
    """The kind of an input that is there and can be segmented.

    Raises:
        MediaError: it cannot; it says why.
    """
    if entry.problem:
        raise MediaError(entry.problem)
    if not entry.path.exists():
        raise MediaError("there is no such file or folder.")
    if entry.kind is None:
        raise MediaError(f"this is none of what can be segmented: {SUPPORTED}.")
    return entry.kind
