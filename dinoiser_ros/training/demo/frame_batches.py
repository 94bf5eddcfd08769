# SPDX-License-Identifier: Apache-2.0
"""Batches of rendered frames for the heads of the embedded model."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .region_captions import jitter


class FrameBatches:
    """Random frames, half of the batches mirrored, with jittered light; drawn from (seed, step)."""

    def __init__(self, frames: np.ndarray, size: int, seed: int) -> None:
        """Frames are (N, H, W, 3) uint8; ``size`` of them make a batch."""
        self.frames, self.size, self.seed = frames, size, seed

    def __getitem__(self, step: int) -> Tensor:
        """The frames of a step, (size, H, W, 3) uint8."""
        rng = np.random.default_rng([self.seed, 5, step])
        chosen = np.sort(rng.choice(len(self.frames), self.size, replace=False))
        rgb = torch.from_numpy(self.frames[chosen])
        if rng.random() < 0.5:
            rgb = rgb.flip(2)
        return jitter(rng, rgb)
