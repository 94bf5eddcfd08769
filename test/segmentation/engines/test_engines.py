# SPDX-License-Identifier: Apache-2.0
"""What engines compute is what PyTorch computes, for all that uses it."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from golden_data import GOLDEN_MODEL, golden_arrays
from paths import HELD_OUT
from siglip_files import write_siglip
from talk2dino_files import write_talk2dino, write_talk2dino_on_dinov3

from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.sim.frames import read_frames

PROMPTS = ["background", "floor: wooden floor, carpet", "person"]
CPU = {"device": "cpu", "precision": "float32", "inference_size": 0}
SIZES = [(48, 64), (61, 83), (5, 40)]


@pytest.fixture(scope="module", params=["onnxruntime", "openvino"])
def engine(request) -> str:
    for package in ("onnx", request.param):
        if find_spec(package) is None:
            pytest.skip(f"needs {package}")
    return request.param


@pytest.fixture(scope="module")
def both(engine) -> tuple[Segmenter, Segmenter]:
    """PyTorch and the engine, with the same model."""
    found = tuple(
        Segmenter(**GOLDEN_MODEL, **CPU, method="dinoiser-keys", engine=name)
        for name in ("torch", engine)
    )
    assert [one.engine for one in found] == ["torch", engine]
    assert found[1].engine_problem is None and found[1].precision == "float32"
    return found


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def compare(both: tuple[Segmenter, Segmenter], image: np.ndarray) -> None:
    wanted, got = (one.segment(image) for one in both)
    assert (got.labels == wanted.labels).mean() > 0.99
    np.testing.assert_allclose(got.confidence, wanted.confidence, atol=1e-3)
    assert (wanted.engine, got.engine) == ("torch", both[1].engine)


@pytest.mark.parametrize("method", ["dinoiser", "dinoiser-keys", "maskclip", "maskclip-ks-pd"])
def test_masks_are_those_of_pytorch(both, method):
    for one in both:
        one.set_options(method=method)
        one.set_prompts(PROMPTS)
    for size in SIZES:
        compare(both, picture(*size))
    assert both[1].engine != "torch"


def test_prompts_options_and_batches_change_while_it_runs(both):
    image = picture(48, 64)
    for one in both:
        one.set_options(method="dinoiser")
    labels = []
    for prompts, options in (
        (PROMPTS, {}),
        (["wall", "person", "traffic cone", "door: wooden door, gate"], {}),
        (["a van", "background"], {"gamma": 0.5, "delta": 0.9, "confidence_threshold": 0.5}),
        (["a van", "background"], {"background_filter": "off", "inference_size": 64}),
    ):
        for one in both:
            one.set_prompts(prompts)
            one.set_options(**options)
        compare(both, image)
        labels.append(both[1].segment(image).labels)
    assert all((one != labels[0]).any() for one in labels[1:])
    images = [picture(48, 64, seed) for seed in range(3)] + [picture(61, 83)]
    for alone, together in zip(
        map(both[1].segment, images), both[1].segment_batch(images), strict=True
    ):
        assert (alone.labels == together.labels).mean() > 0.99
    grids = [one.probability_grid(image) for one in both]
    np.testing.assert_allclose(*grids, atol=1e-3)


def test_what_it_was_not_built_for_pytorch_computes(both):
    for one in both:
        one.set_options(method="cliper", background_filter="auto")
        one.set_prompts(PROMPTS)
    wanted, got = (one.segment(picture(48, 64)) for one in both)
    np.testing.assert_array_equal(wanted.labels, got.labels)
    assert both[1].engine == got.engine == "torch"
    assert "the method asks for what the engine" in both[1].engine_problem
    for one in both:
        one.set_options(method="dinoiser")
    compare(both, picture(48, 64))
    assert both[1].engine_problem is None


def test_pictures_of_another_world_are_known_as_before(engine):
    frame = next(read_frames(HELD_OUT)).rgb
    noise = picture(96, 128)
    demo = Segmenter("demo", device="cpu", precision="float32", engine=engine)
    demo.set_prompts(["floor", "wall"])
    assert demo.engine == engine
    assert [demo.segment(image).familiar for image in (frame, noise)] == [True, False]


@pytest.mark.parametrize("family", ["siglip", "talk2dino", "dinov3"])
def test_other_families(tmp_path, engine, family):
    if family == "siglip":
        pytest.importorskip("tokenizers", reason="needs tokenizers")
        given = {
            **write_siglip(tmp_path, golden_arrays("siglip2"), tanh=True),
            "method": "maskclip",
        }
    else:
        model = write_talk2dino(tmp_path, golden_arrays("talk2dino"))
        if family == "dinov3":
            model = write_talk2dino_on_dinov3(
                tmp_path, golden_arrays("talk2dino"), golden_arrays("dinov3")
            )
        given = {"model": model, "method": "talk2dino"}
    both = tuple(Segmenter(**given, **CPU, engine=name) for name in ("torch", engine))
    assert both[1].engine == engine, both[1].engine_problem
    for one in both:
        one.set_prompts(PROMPTS)
    with torch.inference_mode():
        for size in ((56, 70), (61, 43)):
            compare(both, picture(*size))
