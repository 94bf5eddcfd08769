# SPDX-License-Identifier: Apache-2.0
"""Models beside CLIP as ONNX: SigLIP and Talk2DINO; `export` itself compares file and model."""

from __future__ import annotations

import json
from importlib.util import find_spec

import pytest
from golden_data import golden_arrays
from siglip_files import write_siglip
from talk2dino_files import write_talk2dino, write_talk2dino_on_dinov3

from dinoiser_ros.export.command import export
from dinoiser_ros.segmentation import Segmenter

pytestmark = pytest.mark.skipif(
    find_spec("onnx") is None or find_spec("onnxruntime") is None,
    reason="needs onnx and onnxruntime: pip install '.[export]'",
)
CPU = {"device": "cpu", "precision": "float32", "inference_size": 56}


def exported(segmenter: Segmenter, path, **more) -> dict[str, str]:
    """The metadata of a file that was compared at four sizes."""
    import onnx

    segmenter.default_inference_size = 56  # that the compared sizes lie around
    said = []
    export(segmenter, path, report=said.append, **more)
    assert len(said) == 4 and all(comparison.holds for comparison in said)
    return {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}


@pytest.mark.parametrize("method", ["maskclip", "maskclip-ks", "dinoiser-keys"])
def test_siglip(tmp_path, method):
    pytest.importorskip("tokenizers", reason="needs tokenizers: run pip install '.[siglip]'")
    files = write_siglip(tmp_path, golden_arrays("siglip2"), tanh=True)
    segmenter = Segmenter(**files, method="maskclip", **CPU)
    segmenter.set_options(method=method, background_filter="off")
    metadata = exported(segmenter, tmp_path / "model.onnx")
    assert json.loads(metadata["mean"]) == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("options", [{}, {"background_filter": "off"}, {"delta": 0.5}])
def test_talk2dino(tmp_path, options):
    segmenter = Segmenter(
        write_talk2dino(tmp_path, golden_arrays("talk2dino")), method="talk2dino", **CPU, **options
    )
    metadata = exported(segmenter, tmp_path / "model.onnx", pixels=True)
    assert float(metadata["delta"]) == options.get("delta", 0.55)
    assert metadata["filters_background"] == json.dumps("background_filter" not in options)
    assert len(json.loads(metadata["templates"])) == 7


def test_talk2dino_on_dinov3(tmp_path):
    """Sines and cosines of any grid are computed in the graph."""
    model = write_talk2dino_on_dinov3(tmp_path, golden_arrays("talk2dino"), golden_arrays("dinov3"))
    segmenter = Segmenter(model, method="talk2dino", **CPU)
    assert exported(segmenter, tmp_path / "model.onnx")["filters_background"] == "true"
