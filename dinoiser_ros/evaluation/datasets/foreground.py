# SPDX-License-Identifier: Apache-2.0
"""The simulated world with "background": only its objects have names."""

from __future__ import annotations

import numpy as np

from dinoiser_ros.sim.classes import OBJECT_IDS, OBJECTS, UNLABELLED

FOREGROUND_CLASSES = ("background", *OBJECTS)


def foreground_labels(labels: np.ndarray) -> np.ndarray:
    """Class ids (H, W) to ids of `FOREGROUND_CLASSES`: surfaces and sky become 0."""
    table = np.zeros(256, np.uint8)
    table[list(OBJECT_IDS)] = np.arange(1, len(OBJECT_IDS) + 1)
    table[UNLABELLED] = UNLABELLED
    relabelled: np.ndarray = table[labels]
    return relabelled
