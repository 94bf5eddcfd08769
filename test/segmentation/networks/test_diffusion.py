# SPDX-License-Identifier: Apache-2.0
"""The extra `diffusion`: what is said without it, and with it a small UNet of the same classes."""

from __future__ import annotations

import builtins
import copy
import importlib.util
import os
import subprocess
import sys

import pytest
import torch
from golden_data import GOLDEN_MODEL

from dinoiser_ros.segmentation import OptionError, Segmenter, WeightsError
from dinoiser_ros.segmentation.networks.diffusion.stable_diffusion import Diffusion, load_diffusion

MISSING = [name for name in ("diffusers", "transformers") if not importlib.util.find_spec(name)]
needs_diffusers = pytest.mark.skipif(
    "diffusers" in MISSING, reason="needs diffusers: run pip install '.[diffusion]'"
)
needs_extra = pytest.mark.skipif(
    bool(MISSING), reason=f"needs {' and '.join(MISSING)}: run pip install '.[diffusion]'"
)


def test_importing_the_engine_does_not_import_diffusers():
    """In a process of its own, and with or without the extra."""
    code = "import sys, dinoiser_ros.segmentation; print('diffusers' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.split() == ["False"], done.stderr


def test_without_the_extra_its_absence_is_said(monkeypatch):
    original = builtins.__import__

    def without(name, *arguments, **more):
        if name.partition(".")[0] == "diffusers":
            raise ModuleNotFoundError("No module named 'diffusers'")
        return original(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(OptionError, match=r"'cliper-diffusion' needs diffusers.*\.\[diffusion\]"):
        Segmenter(**GOLDEN_MODEL, method="cliper-diffusion")


@needs_extra
def test_missing_weights_are_said(tmp_path):
    with pytest.raises(WeightsError, match=r"cannot be loaded from .*nothing.*`diffusion`"):
        load_diffusion(tmp_path / "nothing", offline=True)


@pytest.fixture(scope="module", params=[True, False], ids=["linear", "convolution"])
def small(request) -> Diffusion:
    """Stable Diffusion's classes and order of blocks at a hundredth of its width."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(16, 16, 32, 32), layers_per_block=2,
        cross_attention_dim=12, attention_head_dim=(2, 2, 4, 4), norm_num_groups=4,
        use_linear_projection=request.param,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 8), norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    frozen = [network.eval().requires_grad_(False) for network in (unet, vae)]
    return Diffusion(*frozen, torch.randn(1, 5, 12), timestep=81, signal=0.9)


def recorded_maps(diffusion: Diffusion, image: torch.Tensor) -> list[torch.Tensor]:
    """The same from a whole forward pass of a copy, its attention modules' inputs recorded."""
    size, inputs = (diffusion.image_size,) * 2, {}
    unet, vae = copy.deepcopy(diffusion.unet), diffusion.vae
    layers = [unet.up_blocks[3].attentions[i].transformer_blocks[0].attn1 for i in (1, 0)]
    for layer in layers:
        layer.register_forward_hook(
            lambda module, given, kept, result: (
                inputs.update({module: (given or [None])[0]}) or None
            ),
            with_kwargs=True,
        )
    resized = torch.nn.functional.interpolate(image, size=size, mode="bilinear", antialias=True)
    latents = vae.encode(2 * resized - 1).latent_dist.mean * vae.config.scaling_factor
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    noisy = diffusion.signal**0.5 * latents + (1 - diffusion.signal) ** 0.5 * noise
    unet(noisy, diffusion.timestep, encoder_hidden_states=diffusion.prompt)
    maps = []
    for layer in layers:
        q, k = (layer.head_to_batch_dim(f(inputs[layer])) for f in (layer.to_q, layer.to_k))
        maps.append(layer.get_attention_scores(q, k))
    return maps


@needs_diffusers
@torch.no_grad()
def test_maps_are_those_of_a_whole_pass(small):
    images = torch.rand(2, 3, 20, 30)
    got = small.attention_maps(images)
    assert len(got) == 2
    for index in range(2):
        wanted = recorded_maps(small, images[index : index + 1])
        assert len(got[index]) == 2
        for one, other in zip(got[index], wanted, strict=True):
            assert one.shape == other.shape and one.shape[1:] == (64, 64)
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
        assert not torch.allclose(*got[index], atol=1e-3), "the layers differ"


@needs_diffusers
def test_one_image_always_gives_one_result_and_changes_nothing(small):
    before = {name: value.clone() for name, value in small.unet.state_dict().items()}
    processors = dict(small.unet.attn_processors)
    image = torch.rand(1, 3, 16, 16)
    first, second = small.attention_maps(image)[0], small.attention_maps(image)[0]
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert small.unet.attn_processors == processors
    assert all(torch.equal(value, before[n]) for n, value in small.unet.state_dict().items())
    assert not any(module._forward_hooks for module in small.unet.modules())


@needs_extra
def test_a_folder_in_diffusers_layout(small, tmp_path):
    """Saved and loaded as Stable Diffusion is; its text tower embeds the empty prompt once."""
    from diffusers import PNDMScheduler, StableDiffusionPipeline
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    words = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2}
    (tmp_path / "vocab.json").write_text(str(words).replace("'", '"'))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(
        str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"), model_max_length=5
    )
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=3, hidden_size=12, intermediate_size=12, num_hidden_layers=1,
            num_attention_heads=2, max_position_embeddings=5, bos_token_id=0, eos_token_id=1,
        )
    )  # fmt: skip
    scheduler = PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True,
        set_alpha_to_one=False, steps_offset=1,
    )  # fmt: skip
    StableDiffusionPipeline(
        vae=small.vae, unet=small.unet, text_encoder=text, tokenizer=tokenizer,
        scheduler=scheduler, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(tmp_path / "model")  # fmt: skip
    loaded = load_diffusion(tmp_path / "model", offline=True)
    assert loaded.prompt.shape == (1, 5, 12) and 0 < loaded.timestep < 150
    assert 0.8 < loaded.signal < 1, "an image with little noise"
    assert loaded.image_size == small.image_size
    image = torch.rand(1, 3, 16, 16)
    same = Diffusion(small.unet, small.vae, loaded.prompt, loaded.timestep, loaded.signal)
    for one, other in zip(
        loaded.attention_maps(image)[0], same.attention_maps(image)[0], strict=True
    ):
        torch.testing.assert_close(one, other)
