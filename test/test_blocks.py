"""The fast transformer blocks against the plain ones, and attention against a naive one."""

from __future__ import annotations

import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.transformer import QuickGELU, ResidualAttentionBlock
from torch import nn

from dinoiser_ros.segmentation.backbone import Backbone
from dinoiser_ros.segmentation.blocks import PlainBlock
from dinoiser_ros.segmentation.fast_blocks import (
    PackedBlock,
    attend_by_head,
    can_pack,
    fastest_block,
)

WIDTH, HEADS = 48, 3


def make_block(activation: type[nn.Module] = nn.GELU) -> nn.Module:
    torch.manual_seed(0)
    block = ResidualAttentionBlock(WIDTH, HEADS, act_layer=activation)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    return block.eval().requires_grad_(False)


needs_bfloat16 = pytest.mark.skipif(
    not can_pack(make_block()), reason="needs a PyTorch with oneDNN and a CPU with AVX-512"
)


@needs_bfloat16
@pytest.mark.parametrize("activation", [nn.GELU, QuickGELU, nn.SiLU])
@pytest.mark.parametrize("shape", [(1, 7), (3, 50)])
def test_packed_blocks_compute_what_plain_ones_do(
    activation: type[nn.Module], shape: tuple[int, int]
) -> None:
    exact = PlainBlock(make_block(activation))
    packed = PackedBlock(make_block(activation).to(torch.bfloat16))
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


def test_a_block_is_packed_only_where_that_is_possible() -> None:
    assert isinstance(fastest_block(make_block()), PlainBlock)  # float32
    odd = make_block().to(torch.bfloat16)
    odd.mlp.add_module("dropout", nn.Dropout(0.0))
    assert isinstance(fastest_block(odd), PlainBlock)


@needs_bfloat16
def test_a_backbone_in_bfloat16_is_packed_and_close_to_float32() -> None:
    torch.manual_seed(0)
    clip = open_clip.CLIP(
        embed_dim=16,
        vision_cfg={"image_size": 32, "layers": 3, "width": 64, "head_width": 16, "patch_size": 8},
        text_cfg={"layers": 1, "width": 16, "heads": 1, "vocab_size": 9, "context_length": 4},
    )
    visual = clip.visual.eval().requires_grad_(False)
    images = torch.rand(2, 3, 40, 33)
    exact = Backbone(visual, -2)(images)
    fast = Backbone(visual.to(torch.bfloat16), -2)(images)
    for name in ("features", "intermediate"):
        a, b = getattr(exact, name), getattr(fast, name).float()
        assert (a - b).norm() < 0.05 * a.norm(), name
