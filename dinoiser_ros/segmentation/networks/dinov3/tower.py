# SPDX-License-Identifier: Apache-2.0
"""DINOv3's vision transformer, with the names of weights that OpenCLIP has."""

from __future__ import annotations

from torch import Tensor

from dinoiser_ros.segmentation.networks.dino_weights import HEAD_WIDTH
from dinoiser_ros.segmentation.networks.register_tower import RegisterSizes, RegisterTower

from .rotation import default_periods

EPSILON = 1e-5  # of all layer norms


class DinoV3Tower(RegisterTower):
    """The network, with random weights.

    Attributes:
        periods: (head width / 4,) float32, see `rotation`.
    """

    periods: Tensor

    def __init__(self, sizes: RegisterSizes) -> None:
        super().__init__(sizes, EPSILON)
        self.register_buffer("periods", default_periods(HEAD_WIDTH))
