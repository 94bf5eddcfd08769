# SPDX-License-Identifier: Apache-2.0
"""What grows with the square of the patches is computed in parts, and the parts make the whole."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from dinoiser_ros.segmentation import ImageError
from dinoiser_ros.segmentation.methods import pooling
from dinoiser_ros.segmentation.methods.pooling import guided_pooling, key_smoothing
from dinoiser_ros.segmentation.networks import clip_backbone as backbone
from dinoiser_ros.segmentation.networks.attention import kernels as attention_kernels
from dinoiser_ros.segmentation.networks.attention.kernels import attend_by_head


class LargestTensor(TorchDispatchMode):
    """Notes the number of elements of the largest tensor that is made within it."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_flatten(result)[0]:
            if isinstance(leaf, torch.Tensor):
                self.elements = max(self.elements, leaf.numel())
        return result


def pooled(generator: torch.Generator) -> torch.Tensor:
    features = torch.randn(2, 8, 15, 20, generator=generator)
    return guided_pooling(features, torch.randn(2, 300, 5, generator=generator), 0.3)


def smoothed(generator: torch.Generator) -> torch.Tensor:
    probabilities = torch.randn(2, 8, 15, 20, generator=generator).softmax(dim=1)
    return key_smoothing(probabilities, torch.randn(2, 300, 5, generator=generator), 0.5)


def attended(generator: torch.Generator) -> torch.Tensor:
    return attend_by_head(torch.randn(2, 301, 3 * 2 * 4, generator=generator), heads=2)


@pytest.mark.parametrize("at_once", [1, 7000, 2 * 300 * 299])
@pytest.mark.parametrize(
    ("compute", "module", "limit"),
    [
        (pooled, pooling, "_AT_ONCE"),
        (smoothed, pooling, "_AT_ONCE"),
        (attended, attention_kernels, "_SCORES"),
    ],
)
def test_parts_make_the_whole_in_less_memory(monkeypatch, compute, module, limit, at_once):
    wanted = compute(torch.Generator().manual_seed(6))
    monkeypatch.setattr(module, limit, at_once)
    with LargestTensor() as largest:
        found = compute(torch.Generator().manual_seed(6))
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)
    inputs = 3 * 2 * 2 * 301 * 4
    assert largest.elements <= max(2 * at_once, inputs)


@pytest.mark.parametrize(("height", "width"), [(300, 900), (640, 640), (1700, 400)])
def test_attention_maps_that_would_not_fit_are_refused(golden, monkeypatch, height, width):
    monkeypatch.setattr(backbone, "_MAX_MAP_BYTES", 10_000_000)
    golden.set_prompts(["floor", "person"])
    golden.method = "cliper"
    image = np.zeros((height, width, 3), np.uint8)
    with pytest.raises(
        ImageError, match=r"maps of 1 x .* GB: set inference_size to (\d+) or"
    ) as got:
        golden.segment(image)
    golden.inference_size = int(re.search(r"to (\d+) or", str(got.value))[1])
    assert golden.segment(image).labels.shape == (height, width)
    golden.method, golden.inference_size = "dinoiser", 0
    golden.segment(image)
