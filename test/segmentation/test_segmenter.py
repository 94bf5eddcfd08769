# SPDX-License-Identifier: Apache-2.0
"""Segmenter: results, options, and use from several threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from golden_data import GOLDEN_MODEL, GOLDEN_PROMPTS
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoiser_ros.segmentation import ImageError, OptionError, PromptError, Segmenter, device
from dinoiser_ros.segmentation.device import resolve_precision
from dinoiser_ros.segmentation.pixels.preprocess import MAX_ASPECT, inference_shape
from dinoiser_ros.segmentation.text.vocabulary import Vocabulary, parse_prompts


def picture(height: int = 60, width: int = 90, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_result_has_the_size_and_types_promised(golden):
    result = golden.segment(picture(61, 83))
    assert result.labels.shape == result.confidence.shape == (61, 83)
    assert (result.labels.dtype, result.confidence.dtype) == (np.uint8, np.float32)
    assert result.confidence.min() >= 0 and result.confidence.max() <= 1
    assert set(np.unique(result.labels)) <= {c.id for c in result.classes}
    assert [c.name for c in result.classes] == GOLDEN_PROMPTS


def test_probabilities_are_on_the_patch_grid(golden):
    golden.background_filter = "off"
    probabilities = golden.probabilities(picture(61, 83))
    assert probabilities.shape == (5, 4, 6) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-5)


def test_probabilities_ignore_the_inference_size(golden):
    plain = golden.probabilities(picture())
    golden.inference_size = 32
    np.testing.assert_array_equal(golden.probabilities(picture()), plain)


def test_inference_size_keeps_the_output_size(golden):
    golden.inference_size = 32
    assert golden.segment(picture(61, 83)).labels.shape == (61, 83)


def test_confidence_threshold_makes_pixels_unlabeled(golden):
    before = golden.segment(picture())
    threshold = float(np.median(before.confidence))
    golden.confidence_threshold = threshold
    after = golden.segment(picture())
    unsure = before.confidence < np.float32(threshold)
    assert 0 < unsure.sum() < unsure.size
    assert (after.labels[unsure] == 255).all()
    np.testing.assert_array_equal(after.labels[~unsure], before.labels[~unsure])


def test_many_classes_take_16_bits(golden):
    prompts, classes = parse_prompts([f"thing {i}" for i in range(255)])
    embeddings = torch.nn.functional.normalize(torch.randn(255, 32), dim=1)
    golden.use(Vocabulary(prompts, classes, embeddings, torch.arange(255)))
    golden.confidence_threshold = 1.0
    result = golden.segment(picture())
    assert result.labels.dtype == np.uint16 and result.unlabeled == 65535
    assert (result.labels[result.confidence < 1] == 65535).all()


def test_methods_differ_and_are_selected_by_name(golden):
    pooled = golden.probabilities(picture())
    golden.method = "maskclip"
    assert not np.allclose(golden.probabilities(picture()), pooled)


def test_gamma_of_one_pools_nothing(golden):
    """Only A_pp is 1, so that pooled features are the features: MaskCLIP without background."""
    golden.set_options(gamma=0.9999, background_filter="off")
    pooled = golden.probabilities(picture())
    golden.method = "maskclip"
    np.testing.assert_allclose(golden.probabilities(picture()), pooled, atol=1e-3)


def test_background_filter_needs_a_background(golden):
    golden.set_prompts(["person", "wooden floor"])
    on = golden.probabilities(picture())
    golden.background_filter = "off"
    np.testing.assert_array_equal(golden.probabilities(picture()), on)


def test_background_may_have_any_id(golden):
    golden.delta = 1.0
    first = golden.probabilities(picture())
    golden.set_prompts([*GOLDEN_PROMPTS[1:], "background"])
    last = golden.probabilities(picture())
    np.testing.assert_allclose(last, np.roll(first, -1, axis=0), atol=1e-5)
    assert (last[-1] == 1).any()


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (16, 16), (3, 700)])
@pytest.mark.parametrize("inference_size", [None, 32])
def test_odd_sizes(golden, size, inference_size):
    golden.inference_size = inference_size
    assert golden.segment(picture(*size)).labels.shape == size


@given(st.integers(1, 9000), st.integers(1, 9000), st.integers(16, 1000))
def test_inference_shape(height, width, shorter):
    shape = inference_shape((height, width), shorter)
    assert min(shape) >= 1 and max(shape) <= MAX_ASPECT * shorter + 1
    if max(height, width) < MAX_ASPECT * min(height, width):
        assert min(shape) == shorter
        assert shape[0] / shape[1] == pytest.approx(height / width, abs=0.5 / shorter * 8, rel=0.1)
    assert inference_shape((height, width), None) == (height, width)


def test_read_only_images_are_fine(golden, recwarn):
    image = picture()
    image.flags.writeable = False
    golden.segment(image)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (None, "NoneType"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((4, 4), np.uint8), "shape"),
        (np.zeros((4, 4, 4), np.uint8), "shape"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
    ],
)
def test_bad_images_are_refused(golden, image, reason):
    for call in (golden.segment, golden.probabilities):
        with pytest.raises(ImageError, match=reason):
            call(image)


def test_a_huge_image_is_refused_before_anything_is_allocated(golden):
    huge = np.broadcast_to(np.zeros(3, np.uint8), (100_000, 1000, 3))
    with pytest.raises(ImageError, match="64000000 pixels"):
        golden.segment(huge)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("method", "unet"),
        ("background_filter", True),
        ("gamma", -0.1),
        ("gamma", float("nan")),
        ("delta", 1.5),
        ("confidence_threshold", "high"),
        ("confidence_threshold", True),
        ("inference_size", 3),
        ("inference_size", 448.0),
        ("background_source", "learnt"),
        ("background_uncertainty", "yes"),
        ("background_uncertainty", 1),
        ("ks_threshold", 1.01),
        ("pd_threshold", None),
        ("attention_thr", float("inf")),
    ],
)
def test_bad_options_are_refused_and_change_nothing(golden, option, value):
    before = golden.options
    with pytest.raises(OptionError, match=option):
        setattr(golden, option, value)
    with pytest.raises(OptionError):
        golden.set_options(gamma=0.5, **({option: value} if option != "gamma" else {"delta": 2}))
    assert golden.options is before


def test_options_change_together(golden):
    golden.set_options(gamma=0.3, delta=0.5, inference_size=64)
    assert (golden.gamma, golden.delta, golden.inference_size) == (0.3, 0.5, 64)
    with pytest.raises(OptionError, match="no such option"):
        golden.set_options(gama=0.3)


def test_new_options_are_keywords_of_the_segmenter():
    chosen = {
        "background_uncertainty": False, "ks_threshold": 0.8, "pd_threshold": 0.3,
        "attention_thr": 0.2,
    }  # fmt: skip
    segmenter = Segmenter(
        **GOLDEN_MODEL, inference_size=0, method="maskclip-ks", device="cpu", **chosen
    )
    assert {name: getattr(segmenter, name) for name in chosen} == chosen
    assert segmenter.background_source == "objectness"


def test_prompts_must_be_set_first():
    segmenter = Segmenter(**GOLDEN_MODEL, inference_size=0, device="cpu")
    with pytest.raises(PromptError, match="set_prompts"):
        segmenter.segment(picture())


def test_maskclip_needs_no_heads():
    files = {key: GOLDEN_MODEL[key] for key in ("model", "weights")}
    segmenter = Segmenter(**files, inference_size=0, method="maskclip", device="cpu")
    segmenter.set_prompts(["person", "wooden floor"])
    assert segmenter.segment(picture()).labels.shape == (60, 90)
    with pytest.raises(OptionError, match="heads"):
        segmenter.method = "dinoiser"


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_agrees(golden, precision):
    low = Segmenter(**GOLDEN_MODEL, inference_size=0, device="cpu", precision=precision)
    low.set_prompts(GOLDEN_PROMPTS)
    assert low.precision == precision
    difference = np.abs(low.probabilities(picture()) - golden.probabilities(picture()))
    assert np.median(difference) < 0.05


def test_precision_that_suits_device_and_network(monkeypatch):
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    monkeypatch.setattr(device, "cpu_has_bfloat16", lambda: True)
    assert resolve_precision("auto", gpu, 64) == torch.float16
    assert resolve_precision("auto", cpu, 768) == torch.bfloat16
    assert resolve_precision("auto", cpu, 192) == torch.float32, "small networks gain nothing"
    assert resolve_precision("float32", cpu, 768) == torch.float32
    monkeypatch.setattr(device, "cpu_has_bfloat16", lambda: False)
    assert resolve_precision("auto", cpu, 768) == torch.float32


@pytest.mark.parametrize(
    ("flags", "there"),
    [("flags : fpu avx512_bf16 sse", True), ("Features : asimd bf16", True), ("avx512f", False)],
)
def test_bfloat16_instructions(tmp_path, flags, there):
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{flags}\n")
    assert device.cpu_has_bfloat16(str(tmp_path / "cpuinfo")) is there
    assert device.cpu_has_bfloat16(str(tmp_path / "none")) is False


@pytest.mark.parametrize(("argument", "value"), [("device", "gpu"), ("precision", "int4")])
def test_bad_device_and_precision(argument, value):
    with pytest.raises(OptionError, match=value):
        Segmenter(**GOLDEN_MODEL, inference_size=0, **{argument: value})


def test_the_backbone_is_never_changed(golden):
    before = {k: v.clone() for k, v in golden.backbone.visual.state_dict().items()}
    hooks = sum(len(m._forward_hooks) for m in golden.backbone.visual.modules())
    golden.segment(picture(33, 77))
    after = golden.backbone.visual.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert hooks == sum(len(m._forward_hooks) for m in golden.backbone.visual.modules()) == 0


@settings(deadline=None, max_examples=5)
@given(st.lists(st.tuples(st.integers(1, 70), st.integers(1, 70)), min_size=1, max_size=4))
def test_any_mixture_of_sizes_in_one_call(sizes):
    results = _shared().segment_batch([picture(h, w, seed=i) for i, (h, w) in enumerate(sizes)])
    assert [r.labels.shape for r in results] == sizes


_made: list[Segmenter] = []


def _shared() -> Segmenter:
    """One segmenter for all examples of a property; hypothesis and fixtures do not mix."""
    if not _made:
        _made.append(Segmenter(**GOLDEN_MODEL, inference_size=0, device="cpu"))
        _made[0].set_prompts(GOLDEN_PROMPTS)
    return _made[0]


def test_prompts_change_while_other_threads_segment(golden):
    """Every result fits one of the two vocabularies: ids, names and pixels belong together."""
    vocabularies = [golden.embed_prompts(p) for p in (["a", "b"], ["c", "d", "e", "f", "g"])]
    wanted = []
    for vocabulary in vocabularies:
        golden.use(vocabulary)
        wanted.append(golden.segment(picture()))
    wrong, stop = [], threading.Event()

    def segment() -> None:
        while not stop.is_set():
            result = golden.segment(picture())
            match = wanted[0] if len(result.classes) == 2 else wanted[1]
            if result.classes != match.classes or (result.labels != match.labels).mean() > 0.01:
                wrong.append(result)

    threads = [threading.Thread(target=segment) for _ in range(3)]
    for thread in threads:
        thread.start()
    for round_ in range(60):
        golden.use(vocabularies[round_ % 2])
        golden.segment(picture(20, 20))
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
