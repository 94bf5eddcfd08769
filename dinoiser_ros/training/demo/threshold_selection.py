# SPDX-License-Identifier: Apache-2.0
"""Choosing gamma and delta on validation frames, through the product's own Segmenter."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from dinoiser_ros.evaluation.datasets.foreground import FOREGROUND_CLASSES, foreground_labels
from dinoiser_ros.evaluation.metrics.confusion import confusion_matrix, mean_iou
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.sim.classes import CLASSES

from .frame_store import FrameStore

log = logging.getLogger(__name__)
GAMMAS = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95)
DELTAS = (0.0, 0.5, 0.8, 0.95, 0.99)


def miou(
    segmenter: Segmenter, store: FrameStore, indices: Sequence[int], foreground: bool = False
) -> float:
    """MIoU of a Segmenter whose prompts are set, over some frames of a store."""
    classes = len(FOREGROUND_CLASSES if foreground else CLASSES)
    matrix = np.zeros((classes, classes + 1), np.int64)
    for index in indices:
        labels = store.labels(index)
        predicted = np.asarray(segmenter.segment(np.array(store.rgb[index])).labels)
        matrix += confusion_matrix(
            foreground_labels(labels) if foreground else labels, predicted, classes
        )
    return mean_iou(matrix)


def select(segmenter: Segmenter, store: FrameStore) -> dict[str, Any]:
    """Choose gamma, then delta, by trying all of them.

    Gammas are tried with the 18 class names, deltas with "background" and the objects' names.

    Args:
        segmenter: a Segmenter with method "dinoiser"; its options and prompts are changed.

    Returns:
        gamma, delta and the validation mIoU of every value tried, and of plain MaskCLIP.
    """
    everything = range(len(store.rgb))
    segmenter.set_prompts(list(CLASSES))
    segmenter.set_options(method="maskclip")
    plain = miou(segmenter, store, everything)
    segmenter.set_options(method="dinoiser")
    by_gamma = {}
    for gamma in GAMMAS:
        segmenter.set_options(gamma=gamma)
        by_gamma[gamma] = round(miou(segmenter, store, everything), 4)
        log.info("gamma %.2f: validation mIoU %.4f (maskclip %.4f)", gamma, by_gamma[gamma], plain)
    gamma = max(by_gamma, key=by_gamma.__getitem__)
    segmenter.set_options(gamma=gamma)
    segmenter.set_prompts(list(FOREGROUND_CLASSES))
    by_delta = {}
    for delta in DELTAS:
        segmenter.set_options(delta=delta)
        by_delta[delta] = round(miou(segmenter, store, everything, foreground=True), 4)
        log.info("delta %.2f: validation mIoU with background %.4f", delta, by_delta[delta])
    return {
        "gamma": gamma,
        "delta": max(by_delta, key=by_delta.__getitem__),
        "maskclip": round(plain, 4),
        "mIoU by gamma": by_gamma,
        "mIoU with background by delta": by_delta,
    }
