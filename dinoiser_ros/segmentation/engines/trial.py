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
LEAST_COSINE = 0.98  # below this mean over the patches an engine computes something else
# Pictures unlike those that int8 was made with, such as the trial's, differ by more, and how much
# is known from when it was made, when its labels were compared. It may be off by this.
INT8_SLACK = 0.05


@dataclass(frozen=True)
class Trial:
    """What came out.

    Attributes:
        speed: PyTorch's time over the engine's, the median of rounds in turns.
        cosine: of the features of a patch, engine's and PyTorch's, the mean over patches.
    """

    speed: float
    cosine: float

    def is_same(self, usual: float | None = None) -> bool:
        """Whether the engine computes what it should; not, if there is NaN.

        Args:
            usual: the cosine of an int8 form when it was made.
        """
        return self.cosine >= (LEAST_COSINE if usual is None else usual - INT8_SLACK)

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
    cosine = compare_engine(engine, reference, request, shorter_side)
    image = trial_image(shorter_side, reference.device)
    both = (reference, engine.computed)
    ratios = []
    for _ in range(ROUNDS):
        by_torch, by_engine = (_seconds(compute, image, request) for compute in both)
        ratios.append(by_torch / by_engine)
    return Trial(statistics.median(ratios), cosine)


@torch.inference_mode()
def compare_engine(
    engine: EngineBackbone, reference: Backbone, request: Request, shorter_side: int
) -> float:
    """The cosine of a `Trial`; arguments and errors as in `try_engine`."""
    image = trial_image(shorter_side, reference.device)
    wanted, got = (compute(image, request).features for compute in (reference, engine.computed))
    assert wanted is not None and got is not None, "every method on a graph asks for them"
    return float(F.cosine_similarity(wanted.float(), got.float(), dim=1).mean())


def _seconds(
    compute: Callable[[Tensor, Request], DenseFeatures], image: Tensor, request: Request
) -> float:
    start = time.perf_counter()
    compute(image, request)
    if image.device.type == "cuda":
        torch.cuda.synchronize(image.device)
    return time.perf_counter() - start
