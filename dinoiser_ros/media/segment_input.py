# SPDX-License-Identifier: Apache-2.0
"""One input of any kind: what is done with a picture, a video and a bag."""

from __future__ import annotations

from collections.abc import Callable

from dinoiser_ros.errors import MediaError
from dinoiser_ros.media.bags.segment import segment_bag
from dinoiser_ros.segmentation import Segmenter

from .inputs import BAG, PICTURE, SUPPORTED, VIDEO, Input
from .pictures import segment_picture
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
