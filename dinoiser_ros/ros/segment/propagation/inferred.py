# SPDX-License-Identifier: Apache-2.0
"""A result of the network, as the inference thread hands it to the propagation thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dinoiser_ros.ros.segment.inference.pending_frame import PendingFrame
    from dinoiser_ros.segmentation import Segmentation


@dataclass(frozen=True)
class Inferred:
    """What the network said of a frame.

    Attributes:
        frame: the image.
        segmentation: of it, with the ids that messages carry.
        vocabulary, options: of the segmenter, then.
        inference: seconds that the network took.
    """

    frame: PendingFrame
    segmentation: Segmentation
    vocabulary: object
    options: object
    inference: float
