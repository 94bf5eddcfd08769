# SPDX-License-Identifier: Apache-2.0
"""Results from the device to the host.

From a GPU they come in one copy of two or three bytes per pixel, which is also the only moment of a
frame at which the host waits for the device; confidence then has 8 bits, as masks have.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def result_arrays(labels: Tensor, confidence: Tensor, wide: bool) -> tuple[np.ndarray, np.ndarray]:
    """Labels and confidence that are on the host as arrays.

    Args:
        labels: (B, H, W) integers, below 256, or below 65536 if `wide`.
        confidence: (B, H, W) float in [0, 1].

    Returns:
        (B, H, W) uint8 (uint16 if `wide`) and (B, H, W) float32.
    """
    return labels.numpy().astype(np.uint16 if wide else np.uint8), confidence.numpy()


def pack_results(labels: Tensor, confidence: Tensor, wide: bool) -> Tensor:
    """What `result_arrays` takes, as one uint8 tensor.

    (2, B, H, W): confidence in steps of 1 / 255, then labels. If `wide`, (3, B, H, W): the labels
    take two, their lower and upper bytes.
    """
    steps = (confidence * 255.0).round_().to(torch.uint8)
    if not wide:
        return torch.stack([steps, labels.to(torch.uint8)])
    return torch.stack([steps, (labels & 255).to(torch.uint8), (labels >> 8).to(torch.uint8)])


def unpack_results(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and confidence, as `result_arrays` returns them, of what `pack_results` gave."""
    steps, labels, *upper = packed
    if upper:
        labels = labels | upper[0].astype(np.uint16) << 8
    return labels, steps * np.float32(1.0 / 255.0)
