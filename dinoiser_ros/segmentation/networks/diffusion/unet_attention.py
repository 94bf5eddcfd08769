# SPDX-License-Identifier: Apache-2.0
"""Self-attention maps of a diffusers UNet, without hooks and without running all of it.

The UNet's blocks are called in the order of its own `forward`, up to the last transformer that is
asked for; its maps are computed from the transformer's weights. Nothing in the UNet is changed, so
one may serve several threads. The UNet comes from diffusers, which has no types: hence `Any`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def self_attention_maps(
    unet: Any, latents: Tensor, timestep: int, text: Tensor, count: int
) -> list[Tensor]:
    """The self-attention of the first transformers in the last block on the way up.

    Args:
        unet: a `UNet2DConditionModel` whose last block has transformers, as Stable Diffusion's.
        latents: (B, c, S, S), noise added.
        timestep: which the noise belongs to.
        text: (B or 1, T, d) embedded prompt.
        count: of transformers, at most as many as the block has.

    Returns:
        For each, (B, heads, S * S, S * S) float32; rows sum to 1.
    """
    text = text.expand(len(latents), -1, -1)
    time = _time_embedding(unet, latents, timestep)
    x, skips = _way_down(unet, latents, time, text)
    x = unet.mid_block(x, time, encoder_hidden_states=text)
    for block in unet.up_blocks[:-1]:
        here = len(block.resnets)
        x = _call(block, text, x, temb=time, res_hidden_states_tuple=tuple(skips[-here:]))
        del skips[-here:]
    last, maps = unet.up_blocks[-1], []
    for resnet, transformer in zip(last.resnets[:count], last.attentions[:count], strict=True):
        x = resnet(torch.cat([x, skips.pop()], dim=1), time)
        maps.append(_maps(transformer, x))
        if len(maps) < count:
            x = transformer(x, encoder_hidden_states=text, return_dict=False)[0]
    return maps


def _time_embedding(unet: Any, latents: Tensor, timestep: int) -> Tensor:
    """(B, c'): the embedding that every residual block gets."""
    steps = torch.full((len(latents),), timestep, device=latents.device)
    embedding: Tensor = unet.time_embedding(unet.time_proj(steps).to(latents.dtype))
    return embedding


def _way_down(
    unet: Any, latents: Tensor, time: Tensor, text: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """The lowest block's output, and the outputs on the way that skip over it."""
    x = unet.conv_in(latents)
    skips = [x]
    for block in unet.down_blocks:
        x, passed = _call(block, text, x, temb=time)
        skips += passed
    return x, skips


def _call(block: Any, text: Tensor, x: Tensor, **more: object) -> Any:
    """A block of the UNet; only those with cross-attention take a text."""
    if getattr(block, "has_cross_attention", False):
        more["encoder_hidden_states"] = text
    return block(hidden_states=x, **more)


def _maps(transformer: Any, x: Tensor) -> Tensor:
    """(B, heads, S * S, S * S) float32 of a `Transformer2DModel`'s first self-attention.

    Args:
        x: (B, c, S, S), the transformer's input.
    """
    y = transformer.norm(x)
    if transformer.use_linear_projection:
        y = transformer.proj_in(y.flatten(2).transpose(1, 2))
    else:
        y = transformer.proj_in(y).flatten(2).transpose(1, 2)
    block = transformer.transformer_blocks[0]
    y = block.norm1(y)
    attention = block.attn1
    q, k = (
        projection(y).unflatten(-1, (attention.heads, -1)).transpose(1, 2).float()
        for projection in (attention.to_q, attention.to_k)
    )
    scores: Tensor = (q * attention.scale) @ k.transpose(-1, -2)
    return scores.softmax(dim=-1)
