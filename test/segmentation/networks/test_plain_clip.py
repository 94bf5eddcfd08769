# SPDX-License-Identifier: Apache-2.0
"""The towers built here are open_clip's, and open_clip is only imported for those that are not."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import open_clip
import pytest
import torch
from golden_data import GOLDEN_MODEL

import dinoiser_ros.segmentation.models
from dinoiser_ros.segmentation.models.building import build_clip, read_config
from dinoiser_ros.segmentation.networks import open_clip_parts
from dinoiser_ros.segmentation.networks.clip_backbone import Backbone
from dinoiser_ros.segmentation.networks.plain_clip import PlainClip, is_plain_config
from dinoiser_ros.segmentation.text.tower import TextTower

DATA = Path(dinoiser_ros.segmentation.models.__file__).parent / "data"
GOLDEN = json.loads(GOLDEN_MODEL["model"].read_text())
SHIPPED = ("ViT-B-16", "ViT-B-16-quickgelu", "ViT-B-32", "ViT-L-14-336", "ViT-g-14")


def changed(part: str | None, **values: object) -> dict:
    config = copy.deepcopy(GOLDEN)
    (config[part] if part else config).update(values)
    return config


def shapes(clip: torch.nn.Module) -> dict[str, tuple]:
    tensors = {**dict(clip.named_parameters()), **dict(clip.named_buffers())}
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


@pytest.mark.parametrize("file", ["demo.json", "demo_dino.json"])
def test_the_embedded_models_need_no_open_clip(file):
    config = read_config(DATA / file)
    assert is_plain_config(config)
    with torch.device("meta"):
        assert shapes(PlainClip(config)) == shapes(open_clip.CLIP(**copy.deepcopy(config)))


@pytest.mark.parametrize("name", SHIPPED)
def test_weights_are_named_and_shaped_as_open_clips(name):
    config = open_clip_parts.model_config(name)
    assert config == open_clip.get_model_config(name)
    assert is_plain_config(config)
    with torch.device("meta"):
        assert shapes(PlainClip(config)) == shapes(open_clip.CLIP(**config))


@pytest.mark.parametrize(
    "config",
    [
        GOLDEN,
        changed(None, quick_gelu=True),
        changed("vision_cfg", mlp_ratio=3.5, head_width=16),
        changed("text_cfg", context_length=20, heads=4),
    ],
)
def test_results_are_open_clips(config):
    torch.manual_seed(3)
    theirs, ours = open_clip.CLIP(**copy.deepcopy(config)).eval(), PlainClip(config).eval()
    torch.nn.init.normal_(theirs.visual.proj)
    ours.load_state_dict(theirs.state_dict())
    images = torch.rand(2, 3, 48, 64)
    found, wanted = (Backbone(clip.visual)(images) for clip in (ours, theirs))
    torch.testing.assert_close(found.features, wanted.features, atol=0, rtol=0)
    tokens = open_clip.tokenize(
        ["a photo of a floor", "a cone"], config["text_cfg"]["context_length"]
    )
    with torch.no_grad():
        wanted_text = theirs.encode_text(tokens)
    torch.testing.assert_close(TextTower(ours)(tokens), wanted_text, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        changed(None, init_logit_bias=-10),
        changed("vision_cfg", ls_init_value=0.1),
        changed("vision_cfg", no_ln_pre=True),
        changed("text_cfg", no_causal_mask=True),
        changed("text_cfg", pool_type="last"),
    ],
)
def test_other_models_are_open_clips(config):
    assert not is_plain_config(config)
    assert isinstance(build_clip(copy.deepcopy(config))[0], open_clip.CLIP)


@pytest.mark.parametrize(
    "config",
    [
        changed("vision_cfg", layers="5"),
        changed("vision_cfg", layers=True),
        changed("vision_cfg", width=0),
        changed("vision_cfg", head_width=128),
        changed("vision_cfg", image_size=[64, 64]),
        changed("text_cfg", heads=3),
        changed(None, text_cfg=None),
        changed(None, embed_dim=None),
        {},
    ],
)
def test_what_cannot_be_right_is_not_plain(config):
    assert not is_plain_config(config)


def test_segmenting_imports_neither_open_clip_nor_torchvision():
    arguments = {key: str(path) for key, path in GOLDEN_MODEL.items()}
    code = (
        "import sys, numpy, dinoiser_ros.segmentation as s\n"
        f"segmenter = s.Segmenter(**{arguments!r}, device='cpu', offline=True)\n"
        "segmenter.set_prompts(['floor', 'a thing that nobody asked for before'])\n"
        "segmenter.segment(numpy.zeros((48, 64, 3), 'uint8'))\n"
        "print({'open_clip', 'torchvision', 'timm', 'torch._dynamo'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "set()", done.stderr


def test_a_part_that_does_not_stand_alone_comes_with_open_clip(tmp_path, monkeypatch):
    (tmp_path / "tokenizer.py").write_text("from .transformer import nothing\n")
    monkeypatch.setattr(open_clip_parts, "_folder", lambda: tmp_path)
    monkeypatch.delitem(sys.modules, "open_clip")
    imported = open_clip_parts._part("tokenizer")
    assert imported.__name__ == "open_clip.tokenizer" and imported.SimpleTokenizer


def test_an_unknown_name_has_no_config():
    assert open_clip_parts.model_config("ViT-Z-99") is None
