# SPDX-License-Identifier: Apache-2.0
"""What bfloat16 costs: nearly nothing, on the simulated world with the embedded model."""

from __future__ import annotations

import numpy as np
from paths import HELD_OUT

from dinoiser_ros.evaluation.metrics.confusion import confusion_matrix, mean_iou
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.sim.classes import CLASSES
from dinoiser_ros.sim.frames import read_frames

FRAMES = HELD_OUT


def test_bfloat16_gives_the_labels_of_float32() -> None:
    frames = list(read_frames(FRAMES))[::30]
    labels = {}
    for precision in ("float32", "bfloat16"):
        segmenter = Segmenter("demo", device="cpu", precision=precision)
        segmenter.set_prompts(list(CLASSES))
        labels[precision] = np.stack([segmenter.segment(frame.rgb).labels for frame in frames])
    assert (labels["float32"] == labels["bfloat16"]).mean() >= 0.995
    scores = []
    for predicted in labels.values():
        pairs = zip(frames, predicted, strict=True)
        scores.append(mean_iou(sum(confusion_matrix(f.labels, p, len(CLASSES)) for f, p in pairs)))
    assert abs(scores[0] - scores[1]) <= 0.003
