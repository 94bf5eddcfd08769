# SPDX-License-Identifier: Apache-2.0
"""Which engine is used, what is said of the others, and that PyTorch takes their place."""

from __future__ import annotations

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from fake_runtimes import TorchRuntime, making
from golden_data import GOLDEN_MODEL

from dinoiser_ros.segmentation import OptionError, Segmenter
from dinoiser_ros.segmentation.engines import backbones, selection
from dinoiser_ros.segmentation.engines.runtimes import kinds
from dinoiser_ros.segmentation.engines.runtimes.runtime import FrameNotServedError
from dinoiser_ros.segmentation.engines.selection import EngineSelection, EngineWish, graph_name
from dinoiser_ros.segmentation.engines.store import INT8_FILE, MOST_GRAPHS, EngineStore
from dinoiser_ros.segmentation.engines.trial import Trial
from dinoiser_ros.segmentation.networks.clip_backbone import Request

CPU = torch.device("cpu")
IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def plain() -> Segmenter:
    found = Segmenter(**GOLDEN_MODEL, device="cpu", precision="float32", engine="torch")
    found.set_prompts(["background", "person", "wall"])
    return found


@pytest.fixture
def runtime(plain, monkeypatch) -> TorchRuntime:
    """What every engine runs, all of which are installed; nothing is written."""
    fake = TorchRuntime(plain.backbone)
    monkeypatch.setattr(kinds, "find_spec", lambda name: object())
    monkeypatch.setattr(selection, "version_of", lambda name: "1")
    monkeypatch.setattr(selection, "make_runtime", making(lambda build: fake))
    monkeypatch.setattr(
        selection, "write_dense_graph", lambda backbone, request, path: path.write_bytes(b"graph")
    )
    return fake


@pytest.fixture
def attach(plain, tmp_path):
    """The backbone that a wish leads to, and what is said."""

    def attach(name: str, precision: str = "float32", store: EngineStore | None = None):
        wish = EngineWish(name, precision, Request(), 32, store or EngineStore(tmp_path))
        chosen = EngineSelection(wish, CPU, "identity")
        chosen.write_graph(lambda: plain.backbone)
        return chosen.attached(plain.backbone), chosen.problem

    return attach


def with_speed(monkeypatch, speed: float) -> None:
    monkeypatch.setattr(selection, "try_engine", lambda *_: Trial(speed, 1.0))


def test_auto_takes_the_faster(plain, runtime, attach, monkeypatch, tmp_path):
    with_speed(monkeypatch, 1.05)
    assert attach("auto") == (plain.backbone, None)
    with_speed(monkeypatch, 1.5)
    assert attach("auto")[0] is plain.backbone, "the trial is kept"
    found, problem = attach("auto", store=EngineStore(tmp_path / "other"))
    assert (found.engine, problem) == ("openvino", None)
    assert attach("onnxruntime")[0].engine == "onnxruntime"


def test_what_is_asked_for_by_name_is_used_whatever_its_speed(runtime, attach, monkeypatch):
    with_speed(monkeypatch, 0.5)
    assert attach("openvino")[0].engine == "openvino"


def test_a_trial_is_made_once(runtime, attach):
    attach("openvino")
    made = runtime.calls
    assert made > 2
    attach("openvino")
    assert runtime.calls == made


def test_auto_without_packages_is_pytorch_and_says_nothing(plain, attach, monkeypatch, tmp_path):
    monkeypatch.setattr(kinds, "find_spec", lambda name: None)
    assert attach("auto") == (plain.backbone, None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "precision", "reason"),
    [
        ("openvino", "auto", "openvino is not installed: run pip install 'dinoiser_ros.openvino"),
        ("onnxruntime", "auto", "pip install 'dinoiser_ros.export"),
        ("tensorrt", "auto", "it computes on cuda and the model is on cpu"),
        ("onnxruntime", "int8", "it has no int8, set engine to 'openvino'"),
        ("torch", "int8", "precision int8 is not used: .* set engine to 'openvino'"),
    ],
)
def test_why_an_engine_is_not_used(plain, attach, monkeypatch, name, precision, reason):
    monkeypatch.setattr(kinds, "find_spec", lambda name: None)
    found, problem = attach(name, precision)
    assert found is plain.backbone
    assert re.search(reason, problem) and "\n" not in problem


def test_int8_that_nobody_made(plain, runtime, attach):
    found, problem = attach("auto", "int8")
    assert found is plain.backbone and "make it with dinoiser quantize" in problem


@pytest.mark.parametrize("request_", [None, Request(attention=True), Request(positions="bilinear")])
def test_a_method_that_no_graph_can_serve(request_):
    chosen = EngineSelection(EngineWish("openvino", "auto", request_, 32), CPU, "")
    assert "it cannot compute what this method asks" in chosen.problem
    assert EngineSelection(EngineWish("auto", "auto", request_, 32), CPU, "").problem is None


def test_an_engine_that_computes_something_else_is_refused(plain, runtime, attach):
    runtime.change = torch.randn_like
    found, problem = attach("openvino")
    assert found is plain.backbone and "differ from PyTorch's: cosine" in problem
    assert attach("openvino")[1] == problem, "also at the next start"
    runtime.change = lambda output: output * torch.nan
    assert "cosine nan" in attach("onnxruntime")[1]


@pytest.mark.parametrize(("usual", "fine"), [(0.85, True), (0.99, False)])
def test_int8_is_compared_with_what_it_was_when_it_was_made(
    plain, runtime, attach, tmp_path, usual, fine
):
    """On the image of the trial it may differ by more than on the pictures it was made for."""
    store, made = EngineStore(tmp_path / "store"), tmp_path / "made"
    made.mkdir()
    (made / INT8_FILE).write_text("from pictures")
    store.keep_int8(graph_name("identity", plain.backbone, Request()), made, usual)
    runtime.change = lambda output: (
        output
        + 0.5 * output.std() * torch.randn(output.shape, generator=torch.Generator().manual_seed(0))
    )
    found, problem = attach("openvino", "int8", store)
    assert (found is not plain.backbone) == fine, problem


def test_int8_that_was_made_again_is_tried_again(plain, runtime, attach, tmp_path):
    store, made = EngineStore(tmp_path / "store"), tmp_path / "made"
    made.mkdir()
    name = graph_name("identity", plain.backbone, Request())
    for number, change in enumerate((torch.randn_like, lambda output: output)):
        (made / INT8_FILE).write_text(f"from pictures {number}")
        os.utime(made / INT8_FILE, (number, number))
        store.keep_int8(name, made, 1.0)
        runtime.change = change
        found, problem = attach("openvino", "int8", store)
        if number:
            assert (found.engine, found.precision, problem) == ("openvino", "int8", None)
        else:
            assert "differ from PyTorch's: cosine" in problem
        assert attach("openvino", "int8", store)[1] == problem, "kept for the next start"


def test_an_engine_that_cannot_be_made(plain, runtime, attach, monkeypatch):
    def fail(build):
        raise RuntimeError("no such operator\nand more")

    monkeypatch.setattr(selection, "make_runtime", making(fail))
    found, problem = attach("openvino")
    assert found is plain.backbone
    assert problem == "the engine openvino is not used (no such operator): PyTorch takes its place"


def test_a_cache_that_cannot_be_written(plain, runtime, attach, tmp_path):
    (tmp_path / "file").write_text("")
    found, problem = attach("openvino", store=EngineStore(tmp_path / "file" / "engines"))
    assert found is plain.backbone and "PyTorch takes its place" in problem


def test_a_failure_while_it_runs_is_told_and_pytorch_goes_on(plain, runtime, attach):
    engine, _ = attach("openvino")
    images = torch.rand(1, 3, 48, 64)
    assert engine.precision == "float32" and engine.engine == "openvino"

    def refuse(given):
        raise FrameNotServedError("it is too large")

    runtime.before = refuse
    wanted = plain.backbone(images).features
    torch.testing.assert_close(engine(images).features, wanted)
    assert engine.engine == "torch" and "it is too large" in engine.problem
    runtime.before = lambda given: None
    engine(images)
    assert engine.engine == "openvino" and engine.problem is None

    def fail(given):
        raise RuntimeError("the driver is gone")

    runtime.before = fail
    torch.testing.assert_close(engine(images).features, wanted)
    calls = runtime.calls
    engine(images)
    assert runtime.calls == calls, "it is not tried again"
    assert engine.engine == "torch" and "failed (the driver is gone)" in engine.problem


def test_what_would_fill_the_memory_is_left_to_pytorch(plain, runtime, attach, monkeypatch):
    """ONNX Runtime holds whole attention maps."""
    engine, _ = attach("onnxruntime")
    images = torch.rand(1, 3, 48, 64)
    monkeypatch.setattr(backbones, "_ALWAYS_FITS", 0)
    monkeypatch.setattr(backbones, "available_memory", lambda: 1000)
    torch.testing.assert_close(engine(images).features, plain.backbone(images).features)
    assert engine.engine == "torch" and "reduce inference_size" in engine.problem
    monkeypatch.setattr(backbones, "available_memory", lambda: 1 << 40)
    engine(images)
    assert engine.engine == "onnxruntime" and engine.problem is None


def test_the_segmenter_says_what_computes(plain, runtime, monkeypatch, tmp_path):
    monkeypatch.setenv("DINOISER_CACHE", str(tmp_path))
    segmenter = Segmenter(**GOLDEN_MODEL, device="cpu", precision="bfloat16", engine="openvino")
    segmenter.set_prompts(["background", "person", "wall"])
    assert segmenter.segment(IMAGE).engine == segmenter.engine == "openvino"
    assert segmenter.precision == "bfloat16" and segmenter.engine_problem is None
    with pytest.raises(OptionError, match="engine"):
        Segmenter(**GOLDEN_MODEL, engine="onnx")


def test_old_graphs_make_room(tmp_path):
    store = EngineStore(tmp_path)
    for number in range(MOST_GRAPHS + 2):
        store.graph(f"graph{number}", lambda path: path.write_bytes(b"x"))
        (tmp_path / f"graph{number}-10.0-gpu-float16.plan").write_bytes(b"x")
    assert len(list(tmp_path.glob("*.onnx"))) == MOST_GRAPHS
    assert not list(tmp_path.glob("graph0*"))


def test_processes_that_start_together_write_a_graph_once(tmp_path):
    written = []

    def write(path):
        assert not written
        time.sleep(0.05)
        written.append(path.write_bytes(b"x"))

    # A lock of a file holds between two that opened it, in one process, too.
    stores = [EngineStore(tmp_path) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(lambda store: store.graph("a", write), stores))
    assert len(paths) == len(written) == 1


def test_a_damaged_trial_counts_as_none(tmp_path):
    store = EngineStore(tmp_path)
    store.keep_trial("a", {"speed": 2.0})
    assert store.trial("a") == {"speed": 2.0}
    (tmp_path / "a.json").write_text("[1, 2")
    assert store.trial("a") is None and store.trial("b") is None
