# SPDX-License-Identifier: Apache-2.0
"""Stable Diffusion as a source of self-attention maps; needs the extra `diffusion`.

Only its image encoder and a part of its UNet are used, once for each image: nothing is generated.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dinoiser_ros.errors import OptionError, WeightsError
from dinoiser_ros.segmentation.weights.cache import is_offline
from dinoiser_ros.segmentation.weights.tensor_checks import check_module
from dinoiser_ros.utils.sentences import first_line

from .unet_attention import self_attention_maps

STABLE_DIFFUSION = "stabilityai/stable-diffusion-2-1-base"
STEPS, STEP = 50, 45  # of CLIPer's released code: an image with little noise


@dataclass(frozen=True)
class Diffusion:
    """The parts of a Stable Diffusion that attention maps need, frozen.

    Attributes:
        unet, vae: diffusers' UNet2DConditionModel and AutoencoderKL.
        prompt: (1, T, c) embedding of the empty prompt.
        timestep: of the one denoising step.
        signal: how much of the image is left at that step, alpha bar in [0, 1]; the rest is noise.
    """

    unet: Any
    vae: Any
    prompt: Tensor
    timestep: int
    signal: float

    def to(self, device: torch.device, dtype: torch.dtype) -> Diffusion:
        """The same on a device, computing in a floating-point type; moves the weights."""
        unet, vae, prompt = (
            part.to(device=device, dtype=dtype) for part in (self.unet, self.vae, self.prompt)
        )
        return replace(self, unet=unet, vae=vae, prompt=prompt)

    @property
    def image_size(self) -> int:
        """Pixels of the square that images are resized to: 512 for Stable Diffusion 2.1 base."""
        halvings = len(self.vae.config.block_out_channels) - 1
        size: int = self.unet.config.sample_size * 2**halvings
        return size

    @torch.no_grad()
    def attention_maps(self, images: Tensor) -> list[tuple[Tensor, ...]]:
        """The self-attention maps that CLIPer uses, of one denoising step.

        The noise is the same for every image and call, so that one image always gives one result.

        Args:
            images: (B, 3, H, W) RGB in [0, 1], any size.

        Returns:
            For each image, in the order of CLIPer's chain, (heads, N, N) of the second and of the
            first transformer in the UNet's last block; N is 64 * 64 for Stable Diffusion 2.1 base.
        """
        return [self._of_one(image[None]) for image in images]

    def _of_one(self, image: Tensor) -> tuple[Tensor, ...]:
        """(1, 3, H, W) -> its maps. One at a time: they are 340 MB for each transformer."""
        size = (self.image_size, self.image_size)
        image = F.interpolate(image.float(), size=size, mode="bilinear", antialias=True)
        pixels = (2 * image.clamp(0.0, 1.0) - 1).to(self.prompt.dtype)
        latents = self.vae.encode(pixels).latent_dist.mean * self.vae.config.scaling_factor
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
        noisy = self.signal**0.5 * latents + (1 - self.signal) ** 0.5 * noise.to(latents)
        maps = self_attention_maps(self.unet, noisy, self.timestep, self.prompt, count=2)
        return tuple(reversed([layer[0] for layer in maps]))


def load_diffusion(
    source: str | os.PathLike[str] | None = None, offline: bool = False
) -> Diffusion:
    """Load a Stable Diffusion with diffusers, which is imported here and not before.

    Args:
        source: a folder in diffusers' layout or a name on the hub; None for 2.1 base, which CLIPer
            was evaluated with.
        offline: never use the network.

    Raises:
        OptionError: the extra `diffusion` is not installed.
        WeightsError: the model cannot be found or read.
    """
    place = os.fspath(source or STABLE_DIFFUSION)
    try:
        from diffusers import StableDiffusionPipeline

        pipeline = StableDiffusionPipeline.from_pretrained(
            place,
            local_files_only=is_offline(offline),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    except ImportError as error:
        raise OptionError(
            "The method 'cliper-diffusion' needs diffusers and transformers "
            f"({first_line(error, 120)}): run pip install '.[diffusion]'."
        ) from error
    except Exception as error:  # hub, files and formats raise almost anything
        raise WeightsError(
            f"Stable Diffusion cannot be loaded from {place} ({first_line(error, 120)}): give "
            "`diffusion`, a folder in diffusers' layout such as a copy of "
            f"{STABLE_DIFFUSION}."
        ) from error
    for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        check_module(part, f"Stable Diffusion in {place}")
    return from_pipeline(pipeline)


def from_pipeline(pipeline: Any) -> Diffusion:
    """Take what is needed out of a StableDiffusionPipeline; the text tower is used once here."""
    scheduler = pipeline.scheduler
    scheduler.set_timesteps(STEPS)
    timestep = int(scheduler.timesteps[STEP])
    with torch.no_grad():
        prompt, _ = pipeline.encode_prompt("", "cpu", 1, do_classifier_free_guidance=False)
    return Diffusion(
        pipeline.unet.eval().requires_grad_(False),
        pipeline.vae.eval().requires_grad_(False),
        prompt,
        timestep,
        float(scheduler.alphas_cumprod[timestep]),
    )
