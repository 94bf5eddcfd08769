# SPDX-License-Identifier: Apache-2.0
"""The result of segmenting an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dinoiser_ros.segmentation.text.vocabulary import SegmentationClass


@dataclass(frozen=True)
class Segmentation:
    """The segmentation of one image.

    Attributes:
        labels: (H, W) class ids, uint8 (uint16 with more than 254 classes); `unlabeled` where the
            confidence is below the threshold.
        confidence: (H, W) float32 in [0, 1], the probability of the most probable class; from a GPU
            in steps of 1 / 255.
        classes: what the ids mean. Those of a segmenter are positions: `classes[i].id == i`. The
            node gives others to what it publishes, see `messages.class_ids`.
        unlabeled: the id of no class: 255 (65535).
        familiar: False if the model knows one simulated world only and the image does not look like
            it: then the labels mean nothing.
        engine: what computed the network, as in the option `engine`; never "auto".
    """

    labels: np.ndarray
    confidence: np.ndarray
    classes: tuple[SegmentationClass, ...]
    unlabeled: int
    familiar: bool = True
    engine: str = "torch"
