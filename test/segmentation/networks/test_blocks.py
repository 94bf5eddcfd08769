# SPDX-License-Identifier: Apache-2.0
"""The fast transformer blocks against the plain ones, and attention against a naive one."""

from __future__ import annotations

import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.transformer import QuickGELU, ResidualAttentionBlock
from torch import nn

from dinoiser_ros.segmentation.networks.attention.kernels import attend_by_head
from dinoiser_ros.segmentation.networks.blocks import PlainBlock
from dinoiser_ros.segmentation.networks.clip_backbone import Backbone
from dinoiser_ros.segmentation.networks.dinoiser_heads import DinoiserHeads
from dinoiser_ros.segmentation.networks.onednn_blocks import (
    OneDnnBlock,
    fastest_block,
    has_onednn,
)
from dinoiser_ros.segmentation.networks.open_clip_types import cast_tower

WIDTH, HEADS = 48, 3


def make_block(activation: type[nn.Module] = nn.GELU) -> nn.Module:
    torch.manual_seed(0)
    block = ResidualAttentionBlock(WIDTH, HEADS, act_layer=activation)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    return block.eval().requires_grad_(False)


def tiny_clip(layers: int = 3) -> open_clip.CLIP:
    torch.manual_seed(0)
    return open_clip.CLIP(
        embed_dim=16,
        vision_cfg={
            "image_size": 32,
            "layers": layers,
            "width": 64,
            "head_width": 16,
            "patch_size": 8,
        },
        text_cfg={"layers": 1, "width": 16, "heads": 1, "vocab_size": 9, "context_length": 4},
    )


def usable(dtype: torch.dtype) -> bool:
    return has_onednn(make_block().to(dtype))


needs_onednn = pytest.mark.skipif(
    not usable(torch.float32), reason="needs a PyTorch with oneDNN on x86"
)
needs_bfloat16 = pytest.mark.skipif(
    not usable(torch.bfloat16), reason="needs a PyTorch with oneDNN and a CPU with AVX-512"
)


@needs_onednn
@pytest.mark.parametrize("activation", [nn.GELU, QuickGELU, nn.SiLU])
@pytest.mark.parametrize("shape", [(1, 7), (3, 50), (1, 1300)])
def test_blocks_in_float32_compute_what_plain_ones_do(
    activation: type[nn.Module], shape: tuple[int, int]
) -> None:
    plain, fast = PlainBlock(make_block(activation)), OneDnnBlock(make_block(activation))
    x = torch.randn(*shape, WIDTH)
    for half in ("attention", "mlp"):
        expected = getattr(plain, half)(x)
        torch.testing.assert_close(getattr(fast, half)(x), expected, rtol=1e-4, atol=1e-5 * WIDTH)


@needs_onednn
def test_weights_in_float32_are_not_copied() -> None:
    block = make_block()
    fast, x = OneDnnBlock(block), torch.randn(1, 5, WIDTH)
    before = fast.mlp(x)
    block.mlp.c_proj.weight.zero_()
    assert not torch.equal(fast.mlp(x), before)
    torch.testing.assert_close(fast.mlp(x), PlainBlock(block).mlp(x))


@needs_bfloat16
@pytest.mark.parametrize("activation", [nn.GELU, QuickGELU, nn.SiLU])
@pytest.mark.parametrize("shape", [(1, 7), (3, 50)])
def test_packed_blocks_compute_what_plain_ones_do(
    activation: type[nn.Module], shape: tuple[int, int]
) -> None:
    exact = PlainBlock(make_block(activation))
    packed = OneDnnBlock(make_block(activation).to(torch.bfloat16))
    x = torch.randn(*shape, WIDTH).to(torch.bfloat16)
    for half in ("attention", "mlp"):
        expected = getattr(exact, half)(x.float())
        found = getattr(packed, half)(x).float()
        assert found.shape == expected.shape
        # bfloat16 has 8 bits, and each half rounds three to five times.
        assert (found - expected).norm() < 0.02 * expected.norm(), half


def joined(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """(B, heads, T, c) each -> (B, T, 3 * heads * c)."""
    return torch.stack((queries, keys, values)).permute(1, 3, 0, 2, 4).flatten(2)


@settings(max_examples=30, deadline=None)
@given(
    batch=st.integers(1, 3),
    heads=st.integers(1, 4),
    tokens=st.integers(1, 40),
    shift=st.floats(-50.0, 50.0),
)
def test_attention_by_head_is_attention(batch: int, heads: int, tokens: int, shift: float) -> None:
    generator = torch.Generator().manual_seed(tokens)
    q, k, v = torch.randn(3, batch, heads, tokens, 8, generator=generator, dtype=torch.float64)
    k = k + shift  # what all keys have in common changes nothing
    scores = torch.einsum("bhic,bhjc->bhij", q, k) / 8**0.5
    expected = torch.einsum("bhij,bhjc->bhic", scores.softmax(-1), v)
    found = attend_by_head(joined(q, k, v), heads)
    expected = expected.transpose(1, 2).flatten(2)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_keys_in_common_cost_no_precision() -> None:
    q, k, v = torch.randn(3, 1, 2, 30, 16, generator=torch.Generator().manual_seed(0))
    shifted = (k + 4.0).to(torch.bfloat16)
    q, v = q.to(torch.bfloat16), v.to(torch.bfloat16)
    expected = nn.functional.scaled_dot_product_attention(q.float(), shifted.float(), v.float())
    expected = expected.transpose(1, 2).flatten(2)
    found = attend_by_head(joined(q, shifted, v), heads=2).float()
    assert (found - expected).norm() < 0.01 * expected.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_odd_blocks_are_computed_plainly(dtype: torch.dtype) -> None:
    odd = make_block().to(dtype)
    odd.mlp.add_module("dropout", nn.Dropout(0.0))
    assert isinstance(fastest_block(odd), PlainBlock)
    assert isinstance(fastest_block(make_block().to(torch.float64)), PlainBlock)


def test_on_other_processors_float32_is_computed_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert isinstance(fastest_block(make_block()), PlainBlock)


def test_training_sees_plain_blocks_under_autocast() -> None:
    visual = tiny_clip().visual.eval().requires_grad_(False)
    backbone = Backbone(visual, -2, plain=True)
    images = torch.rand(1, 3, 40, 33)
    exact = backbone(images).features
    with torch.autocast("cpu", torch.bfloat16):
        found = backbone(images).features
    assert (found.float() - exact).norm() < 0.05 * exact.norm()


@needs_bfloat16
def test_a_backbone_in_bfloat16_is_packed_and_close_to_float32() -> None:
    visual = tiny_clip().visual.eval().requires_grad_(False)
    images = torch.rand(2, 3, 40, 33)
    exact = Backbone(visual, -2, plain=True)(images)
    fast = Backbone(visual.to(torch.bfloat16), -2)(images)
    for name in ("features", "intermediate"):
        a, b = getattr(exact, name), getattr(fast, name).float()
        assert (a - b).norm() < 0.05 * a.norm(), name


@needs_bfloat16
def test_sums_over_blocks_in_float32_cost_less_precision() -> None:
    images = torch.rand(2, 3, 40, 33)
    exact = Backbone(tiny_clip(12).visual.eval(), -2, plain=True)(images)
    errors = []
    for exact_stream in (False, True):
        visual = tiny_clip(12).visual.eval().requires_grad_(False)
        cast_tower(visual, torch.bfloat16, exact_stream)
        backbone = Backbone(visual, -2)
        found = backbone(images)
        assert found.features.dtype == found.intermediate.dtype == backbone.dtype == torch.bfloat16
        errors.append((found.features.float() - exact.features).norm())
    assert errors[1] < 0.9 * errors[0]


def test_a_tower_may_be_cast_again() -> None:
    visual = tiny_clip().visual.requires_grad_(False)
    norm = visual.transformer.resblocks[0].ln_1
    nn.init.normal_(norm.weight)
    before = norm.weight.clone()
    for _ in range(2):
        cast_tower(visual, torch.bfloat16, exact_stream=True)
        assert torch.equal(norm.weight, before)
    cast_tower(visual, torch.float32, exact_stream=False)
    assert norm.weight.dtype == torch.float32


def test_embeddings_of_heads_in_bfloat16() -> None:
    torch.manual_seed(0)
    heads = DinoiserHeads(WIDTH, 8).requires_grad_(False)
    low = heads.with_embeddings_in(torch.bfloat16)
    x = torch.randn(1, WIDTH, 5, 6)
    exact, found = heads.embeddings(x), low.embeddings(x)
    assert found.dtype == exact.dtype == torch.float32
    assert 0 < (found - exact).norm() < 0.02 * exact.norm()
    assert torch.equal(low.objectness(x), heads.objectness(x)), "a threshold follows"
