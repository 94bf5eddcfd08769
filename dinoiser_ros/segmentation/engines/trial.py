# SPDX-License-Identifier: Apache-2.0
"""An engine beside PyTorch: is it faster, and does it compute the same?"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dinoiser_ros.segmentation.networks.clip_backbone import Backbone, DenseFeatures, Request

from .backbones import EngineBackbone

ROUNDS = 3
LEAST_SPEED = 1.1  # times faster than PyTorch: what `auto` takes an engine for
# Below this mean over the patches an engine computes something else. Pictures unlike those that
# int8 was made with, such as the trial's, differ more; its labels were compared when it was made.
LEAST_COSINE, LEAST_COSINE_INT8 = 0.98, 0.9


@dataclass(frozen=True)
class Trial:
    """What came out.

    Attributes:
        speed: PyTorch's time over the engine's, the median of rounds in turns.
        cosine: of the features of a patch, engine's and PyTorch's, the mean over patches.
    """

    speed: float
    cosine: float

    def is_same(self, precision: str) -> bool:
        """Whether an engine of this precision computes what it should; not, if there is NaN."""
        return self.cosine >= (LEAST_COSINE_INT8 if precision == "int8" else LEAST_COSINE)

    @property
    def is_faster(self) -> bool:
        """Whether `auto` takes the engine for its speed."""
        return self.speed >= LEAST_SPEED


def trial_image(shorter_side: int, device: torch.device) -> Tensor:
    """(1, 3, H, W) float32 in [0, 1], 4 to 3: smooth blotches, of which patches differ."""
    generator = np.random.default_rng(0)
    blotches = torch.from_numpy(generator.random((1, 3, 9, 12), dtype=np.float32))
    size = (shorter_side, shorter_side * 4 // 3)
    return F.interpolate(blotches, size=size, mode="bicubic").clamp(0.0, 1.0).to(device)


@torch.inference_mode()
def try_engine(
    engine: EngineBackbone, reference: Backbone, request: Request, shorter_side: int
) -> Trial:
    """Compute the same image with both.

    Args:
        reference: computed by PyTorch.
        request: what is computed.
        shorter_side: of the image.

    Raises:
        Exception: whatever the engine raises.
    """
    image = trial_image(shorter_side, reference.device)
    both = (reference, engine.computed)
    wanted, got = (compute(image, request).features for compute in both)
    assert wanted is not None and got is not None, "every method on a graph asks for them"
    cosine = float(F.cosine_similarity(wanted.float(), got.float(), dim=1).mean())
    ratios = []
    for _ in range(ROUNDS):
        by_torch, by_engine = (_seconds(compute, image, request) for compute in both)
        ratios.append(by_torch / by_engine)
    return Trial(statistics.median(ratios), cosine)


def _seconds(
    compute: Callable[[Tensor, Request], DenseFeatures], image: Tensor, request: Request
) -> float:
    start = time.perf_counter()
    compute(image, request)
    if image.device.type == "cuda":
        torch.cuda.synchronize(image.device)
    return time.perf_counter() - start
