# SPDX-License-Identifier: Apache-2.0
"""`dinoiser export`: the file computes what the segmenter does, or there is no file."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from dino_files import write_dino
from golden_data import GOLDEN_MODEL, GOLDEN_PROMPTS

from dinoiser_ros.cli.main import main
from dinoiser_ros.errors import ExportError
from dinoiser_ros.export.command import export
from dinoiser_ros.export.graph import EXPORTED, Graph
from dinoiser_ros.export.prompts import prompt_arrays
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.methods import pooling
from dinoiser_ros.segmentation.networks.clip_backbone import MEAN, STD
from dinoiser_ros.segmentation.networks.embedding_network import BACKBONES, HEADS, EmbeddingNetwork
from dinoiser_ros.segmentation.options import Options
from dinoiser_ros.sim.classes import CLASSES
from dinoiser_ros.training.maskclip_plus.checkpoint_file import save_closed_set

needs_onnx = pytest.mark.skipif(
    find_spec("onnx") is None or find_spec("onnxruntime") is None,
    reason="needs onnx and onnxruntime: pip install '.[export]'",
)
MODEL = [part for key, path in GOLDEN_MODEL.items() for part in (f"--{key}", str(path))]
PROMPTS = ["background", "floor: wooden floor, carpet", "person"]
OPEN = [method for method in EXPORTED if method not in ("talk2dino", "maskclip+")]
SIZES = [(48, 64), (61, 83), (5, 40), (64, 9)]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory) -> Segmenter:
    dino = write_dino(tmp_path_factory.mktemp("dino") / "dino.safetensors")
    return Segmenter(**GOLDEN_MODEL, inference_size=0, dino=dino, device="cpu", precision="float32")


@pytest.fixture
def segmenter(loaded) -> Segmenter:
    """With all options as they come."""
    loaded.set_options(**vars(Options(inference_size=0)))
    loaded.set_prompts(PROMPTS)
    return loaded


@pytest.fixture(params=HEADS)
def closed(request, tmp_path, loaded) -> Segmenter:
    """A network of maskclip+ with random weights."""
    torch.manual_seed(0)
    vocabulary = loaded.embed_prompts(["floor: wooden floor, carpet", "person", "door"])
    network = EmbeddingNetwork(request.param, BACKBONES[0], vocabulary.embeddings.shape[1]).eval()
    save_closed_set(network, vocabulary, 64, {}, tmp_path / "closed.safetensors")
    return Segmenter(
        tmp_path / "closed.safetensors",
        method="maskclip+",
        device="cpu",
        precision="float32",
        inference_size=0,
    )


@pytest.fixture
def quick(monkeypatch) -> None:
    """The command's own comparison on small images."""
    pytest.importorskip("onnxruntime", reason="see needs_onnx")
    small = [(1, *SIZES[0]), (2, *SIZES[1])]
    monkeypatch.setattr("dinoiser_ros.export.check.shapes_to_check", lambda *_: small)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def session_of(path):
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def feed(session, images: np.ndarray, vocabulary) -> dict[str, np.ndarray]:
    arrays = {**prompt_arrays(vocabulary), "images": images}
    return {entry.name: arrays[entry.name] for entry in session.get_inputs()}


# -- the graph, in PyTorch -----------------------------------------------------------------------


@pytest.mark.parametrize("method", OPEN)
@pytest.mark.parametrize("size", SIZES)
def test_the_graph_is_the_method(segmenter, method, size):
    segmenter.method = method
    vocabulary = segmenter.vocabulary
    arrays = prompt_arrays(vocabulary)
    graph = Graph(segmenter, pixels=True)
    images = torch.from_numpy(picture(*size)).permute(2, 0, 1)[None]
    given = [torch.from_numpy(arrays[name]) for name in graph.inputs[1:]]
    probabilities, labels, confidence = graph(images, *given)
    wanted = segmenter.probabilities(picture(*size))
    np.testing.assert_allclose(probabilities[0].numpy(), wanted, atol=1e-5)
    segmented = segmenter.segment(picture(*size))
    assert (labels[0].numpy() == segmented.labels).mean() > 0.99
    np.testing.assert_allclose(confidence[0].numpy(), segmented.confidence, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_the_graph_of_fixed_classes_is_the_method(closed, size):
    graph = Graph(closed, pixels=True)
    images = torch.from_numpy(picture(*size)).permute(2, 0, 1)[None]
    texts = torch.from_numpy(prompt_arrays(closed.vocabulary)["texts"])
    assert graph.inputs == ("images", "texts")
    probabilities, labels, confidence = graph(images, texts)
    wanted, segmented = closed.probabilities(picture(*size)), closed.segment(picture(*size))
    np.testing.assert_allclose(probabilities[0].numpy(), wanted, atol=1e-5)
    assert (labels[0].numpy() == segmented.labels).mean() > 0.99
    np.testing.assert_allclose(confidence[0].numpy(), segmented.confidence, atol=1e-5)


def test_classes_of_fewer_phrases_repeat_one(segmenter):
    arrays = prompt_arrays(segmenter.vocabulary)
    embeddings = segmenter.vocabulary.embeddings.numpy()
    assert arrays["texts"].shape == (3, 2, embeddings.shape[1])
    wanted = embeddings[[0, 0, 1, 2, 3, 3]].reshape(arrays["texts"].shape)
    np.testing.assert_array_equal(arrays["texts"], wanted)
    assert arrays["background"].tolist() == [1, 0, 0]
    assert arrays["names"].tolist() == ["background", "floor", "person"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"method": "cliper"}, "'cliper' cannot be exported: use dinoiser"),
        ({"background_source": "found"}, "'found' cannot be exported"),
    ],
)
def test_what_has_no_place_in_a_graph_is_refused(segmenter, options, reason):
    segmenter.set_options(**options)
    with pytest.raises(ExportError, match=reason):
        Graph(segmenter)


# -- the file ------------------------------------------------------------------------------------


@needs_onnx
@pytest.mark.parametrize("method", OPEN)
def test_the_file_is_the_method(tmp_path, segmenter, method):
    from dinoiser_ros.export.onnx_file import write_onnx

    segmenter.method = method
    path = tmp_path / "model.onnx"
    write_onnx(Graph(segmenter), path, opset=17)
    session = session_of(path)
    for prompts, size in zip(
        (PROMPTS, ["person", "wall", "floor: a, b, c", "door"], PROMPTS, ["one", "two"]),
        SIZES,
        strict=True,
    ):
        segmenter.set_prompts(prompts)
        pictures = [picture(*size, seed) for seed in range(2)]
        images = np.stack(pictures).transpose(0, 3, 1, 2).astype(np.float32) / 255
        (got,) = session.run(None, feed(session, images, segmenter.vocabulary))
        for one, image in zip(got, pictures, strict=True):
            np.testing.assert_allclose(one, segmenter.probabilities(image), atol=1e-4)


@needs_onnx
@pytest.mark.parametrize("method", ["dinoiser", "maskclip-ks"])
def test_files_are_for_any_number_of_patches(tmp_path, segmenter, quick, method, monkeypatch):
    """Also if the images they are written with took several rounds of pooling."""
    monkeypatch.setattr(pooling, "_AT_ONCE", 20)
    segmenter.method = method
    said = []
    export(segmenter, tmp_path / "model.onnx", report=said.append)
    assert len(said) == 2 and all(comparison.holds for comparison in said)


@needs_onnx
def test_the_file_of_fixed_classes_is_the_method(tmp_path, closed):
    path, said = tmp_path / "model.onnx", []
    export(closed, path, pixels=True, report=said.append)
    assert len(said) == 4 and all(comparison.compared == 1 for comparison in said)
    session = session_of(path)
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["method"] == "maskclip+" and "patch_size" not in metadata
    for prompts, size in ([(), SIZES[0]], [["person", "floor"], SIZES[1]]):
        closed.set_prompts(prompts)
        images = picture(*size).transpose(2, 0, 1)[None].astype(np.float32) / 255
        got, labels, _ = session.run(None, feed(session, images, closed.vocabulary))
        np.testing.assert_allclose(got[0], closed.probabilities(picture(*size)), atol=1e-4)
        assert (labels[0] == closed.segment(picture(*size)).labels).mean() > 0.99


@needs_onnx
def test_fixed_classes_come_with_the_file(tmp_path, capsys):
    path = tmp_path / "robot.onnx"
    model = ["--model", "demo-maskclip+", "--method", "maskclip+"]
    assert main(["export", *model, "-o", str(path), "--height", "48", "--width", "64"]) == 0
    with np.load(path.with_suffix(".prompts.npz")) as arrays:
        assert arrays["names"].tolist() == list(CLASSES)
    assert "robot.prompts.npz" in capsys.readouterr().out


@needs_onnx
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 9), (2, 3), (7, 7), (14, 31), (50, 3)])
def test_resizing_positions_is_the_same_in_onnx(rows, columns):
    """Bicubic with align_corners=False: cubic with coefficient -0.75 and half pixels."""
    from onnx import TensorProto, helper

    node = helper.make_node(
        "Resize", ["x", "", "", "sizes"], ["y"], mode="cubic",
        cubic_coeff_a=-0.75, coordinate_transformation_mode="half_pixel",
    )  # fmt: skip
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 7, 7]),
        helper.make_tensor_value_info("sizes", TensorProto.INT64, [4]),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    model = helper.make_model(
        helper.make_graph([node], "resize", inputs, outputs),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    x = torch.randn(1, 4, 7, 7, generator=torch.Generator().manual_seed(0))
    sizes = np.array([1, 4, rows, columns], np.int64)
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString())
    (got,) = session.run(None, {"x": x.numpy(), "sizes": sizes})
    wanted = F.interpolate(x, size=(rows, columns), mode="bicubic", align_corners=False)
    np.testing.assert_allclose(got, wanted.numpy(), atol=1e-5)


@needs_onnx
@pytest.mark.usefixtures("quick")
def test_the_command(tmp_path, golden, capsys):
    path = tmp_path / "new" / "model.onnx"
    more = ["--labels", "--uint8", "--delta", "0.7", "--prompts", *GOLDEN_PROMPTS]
    assert main(["export", *MODEL, "-o", str(path), *more]) == 0
    said = capsys.readouterr().out
    assert said.count("largest difference") == 2 and f"written: {path}" in said
    assert {file.name for file in path.parent.iterdir()} == {"model.onnx", "model.prompts.npz"}
    session = session_of(path)
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["model"] == "golden-small" and metadata["method"] == "dinoiser"
    assert json.loads(metadata["patch_size"]) == golden.backbone.patch_size
    assert json.loads(metadata["delta"]) == 0.7 and json.loads(metadata["gamma"]) == 0.2
    assert len(json.loads(metadata["templates"])) == 80
    # What a robot does, with nothing but the two files.
    image = picture(75, 50)
    with np.load(path.with_suffix(".prompts.npz"), allow_pickle=False) as arrays:
        given = {name: arrays[name] for name in ("texts", "background")}
        assert arrays["names"].tolist() == GOLDEN_PROMPTS
    given["images"] = image.transpose(2, 0, 1)[None]
    _, labels, confidence = session.run(None, given)
    golden.delta = 0.7
    wanted = golden.segment(image)
    assert labels.dtype == np.int32 and (labels[0] == wanted.labels).mean() > 0.99
    np.testing.assert_allclose(confidence[0], wanted.confidence, atol=1e-4)


@needs_onnx
def test_a_fixed_size(tmp_path, segmenter):
    export(segmenter, tmp_path / "model.onnx", size=(32, 50))
    session = session_of(tmp_path / "model.onnx")
    shapes = {e.name: e.shape for e in (*session.get_inputs(), *session.get_outputs())}
    assert shapes["images"] == ["batch", 3, 32, 50]
    assert shapes["texts"] == ["classes", "phrases", segmenter.backbone.dim]


@needs_onnx
def test_a_model_at_the_size_that_it_was_trained_at_can_be_fixed(tmp_path, segmenter):
    side = segmenter.backbone.patch_size * round(
        (len(segmenter.backbone.visual.positional_embedding) - 1) ** 0.5
    )
    export(segmenter, tmp_path / "model.onnx", size=(side, side))


@needs_onnx
@pytest.mark.usefixtures("quick")
def test_a_file_that_computes_something_else_is_removed(tmp_path, segmenter, monkeypatch):
    monkeypatch.setattr(segmenter.backbone, "statistics", ((0.0, 0.0, 0.0), STD))
    said = []
    with pytest.raises(ExportError, match="does not compute what the model does"):
        export(segmenter, tmp_path / "model.onnx", report=said.append)
    assert not said[-1].holds and said[-1].difference > 1e-3
    assert list(tmp_path.iterdir()) == []


@needs_onnx
@pytest.mark.usefixtures("quick")
def test_a_file_that_was_there_stays_when_the_new_one_is_wrong(tmp_path, segmenter, monkeypatch):
    (tmp_path / "model.onnx").write_text("old")
    monkeypatch.setattr(segmenter.backbone, "statistics", (MEAN, (1.0, 1.0, 1.0)))
    with pytest.raises(ExportError):
        export(segmenter, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_text() == "old"


def test_sizes_that_are_tried():
    pytest.importorskip("onnxruntime", reason="see needs_onnx")
    from dinoiser_ros.export.check import shapes_to_check

    shapes = shapes_to_check(16, 448)
    assert {batch for batch, _, _ in shapes} == {1, 2}
    assert any(h % 16 and w % 16 for _, h, w in shapes) and any(h < 16 for _, h, w in shapes)


@needs_onnx
def test_nan_is_a_difference():
    from dinoiser_ros.export.check import Comparison, _largest

    worst = _largest(torch.tensor([0.0, torch.nan]), torch.tensor([True, True]))
    assert worst == float("inf") or worst > 1e30
    assert not Comparison((1, 2, 3), 4, worst, 1.0).holds
    assert not Comparison((1, 2, 3), 4, 0.0, 0.4).holds, "hardly anything was compared"


@needs_onnx
def test_an_opset_that_cannot_be_is_said(tmp_path, segmenter):
    with pytest.raises(ExportError, match="try another --opset"):
        export(segmenter, tmp_path / "model.onnx", opset=3)
    assert list(tmp_path.iterdir()) == []


def test_one_side_alone_is_refused_in_a_sentence(tmp_path, capsys):
    assert main(["export", *MODEL, "-o", str(tmp_path / "m.onnx"), "--height", "48"]) == 1
    error = capsys.readouterr().err
    assert "give both" in error and error.count("\n") == 1


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_said(tmp_path, package, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["export", *MODEL, "-o", str(tmp_path / "m.onnx")]) == 1
    error = capsys.readouterr().err
    assert "pip install '.[export]'" in error and error.count("\n") == 1
