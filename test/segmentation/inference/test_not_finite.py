# SPDX-License-Identifier: Apache-2.0
"""Networks that compute NaN or infinity: an error, and never a mask."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from dino_files import write_dino
from engine.segmenters import random_vocabulary
from golden_data import GOLDEN_MODEL, GOLDEN_PROMPTS
from plus_files import write_plus
from torch import nn

from dinoiser_ros.errors import DinoiserError, NotFiniteError
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.inference.cuda_graph_cache import Replays
from dinoiser_ros.segmentation.methods.registry import METHODS
from dinoiser_ros.segmentation.options import Options

IMAGE = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
BAD = [math.nan, math.inf]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    dino = write_dino(tmp_path_factory.mktemp("dino") / "dino.safetensors")
    segmenter = Segmenter(**GOLDEN_MODEL, dino=dino, device="cpu", precision="float32")
    segmenter.set_prompts(GOLDEN_PROMPTS)
    return segmenter


@pytest.fixture(params=["on the host", "packed"])
def segmenter(made: Segmenter, request: pytest.FixtureRequest) -> Segmenter:
    """One whose networks may be spoilt; results come as from a CPU, and as from a GPU."""
    mine = copy.copy(made)
    mine._parts = copy.deepcopy(made.parts)
    mine.set_options(**vars(Options()))
    mine.use(made.vocabulary)
    if request.param == "packed":
        mine._replays = Replays(torch.device("cpu"), None)
    return mine


def spoil(parameter: nn.Parameter, value: float) -> None:
    with torch.no_grad():
        parameter.view(-1)[0] = value


def refused(segmenter: Segmenter) -> None:
    with pytest.raises(NotFiniteError, match=r"not finite .* computed in float32.*check the weigh"):
        segmenter.segment(IMAGE)
    with pytest.raises(NotFiniteError):
        segmenter.probabilities(IMAGE)


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize(
    "method", sorted(METHODS.keys() - {"cliper-diffusion", "talk2dino", "maskclip+"})
)
def test_a_backbone_that_is_not_finite(segmenter: Segmenter, method: str, value: float) -> None:
    segmenter.set_options(method=method)
    assert segmenter.segment(IMAGE).labels.shape == IMAGE.shape[:2]
    spoil(segmenter.backbone.visual.conv1.weight, value)
    refused(segmenter)


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("part", ["obj_proj", "bkg_decoder"])
def test_heads_that_are_not_finite(segmenter: Segmenter, part: str, value: float) -> None:
    """The second one's output is only compared with a threshold, which NaN would pass."""
    spoil(getattr(segmenter.heads, part).bias, value)
    refused(segmenter)


@pytest.mark.parametrize("value", BAD)
def test_a_dino_that_is_not_finite(segmenter: Segmenter, value: float) -> None:
    spoil(segmenter.dino.visual.conv1.weight, value)
    segmenter.set_options(method="dinoiser-dino")
    refused(segmenter)
    segmenter.set_options(method="dinoiser", background_source="found")
    refused(segmenter)


def test_keys_that_are_not_finite(segmenter: Segmenter) -> None:
    segmenter.set_options(method="maskclip-ks", ks_threshold=1.0)
    weights = segmenter.backbone.visual.transformer.resblocks[-1].attn.in_proj_weight
    spoil(weights[weights.shape[1] :], math.nan)  # of the keys, which "maskclip" does not need
    refused(segmenter)


def test_one_image_of_a_batch(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is, the batch is refused: whoever gave it tries one by one."""
    from dinoiser_ros.segmentation.inference import forward

    original = forward.classify_batch

    def classify(*arguments):
        coarse = original(*arguments)
        coarse[1, 2, 0, 1] = math.nan
        return coarse

    monkeypatch.setattr(forward, "classify_batch", classify)
    with pytest.raises(NotFiniteError):
        segmenter.segment_batch([IMAGE, IMAGE, IMAGE])


def test_with_more_classes_than_8_bits_have(segmenter: Segmenter) -> None:
    segmenter.use(random_vocabulary(260, segmenter.backbone.dim, segmenter.device))
    segmenter.segment(IMAGE)
    spoil(segmenter.backbone.visual.conv1.weight, math.nan)
    refused(segmenter)


def test_all_254_labels_of_8_bits_are_results(segmenter: Segmenter) -> None:
    segmenter.use(random_vocabulary(254, segmenter.backbone.dim, segmenter.device))
    assert segmenter.segment(IMAGE).unlabeled == 255


def test_a_network_of_maskclip_plus(tmp_path: Path) -> None:
    segmenter = Segmenter(
        write_plus(tmp_path / "plus.safetensors"), method="maskclip+", device="cpu"
    )
    segmenter.segment(IMAGE)
    spoil(next(p for p in segmenter.network.classifier.parameters() if p.dim() == 1), math.nan)
    refused(segmenter)


def test_the_error_names_the_precision(made: Segmenter) -> None:
    from dinoiser_ros.segmentation.inference.forward import not_finite

    assert isinstance(not_finite("float16"), DinoiserError)
    assert "set precision to 'float32'" in str(not_finite("float16"))
