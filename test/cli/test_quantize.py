# SPDX-License-Identifier: Apache-2.0
"""`dinoiser quantize`: from a folder of pictures to a file that `precision: int8` finds."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from fake_runtimes import TorchRuntime
from golden_data import GOLDEN_MODEL
from PIL import Image

from dinoiser_ros.cli import quantize
from dinoiser_ros.cli.main import main
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.engines.backbones import EngineBackbone
from dinoiser_ros.segmentation.engines.store import INT8_FILE, EngineStore

MODEL = [part for key, path in GOLDEN_MODEL.items() for part in (f"--{key}", str(path))]
PROMPTS = ["-p", "background", "wooden floor", "person"]


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(8):
        noise = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{number}.png")
    return folder


class FakeQuantisation:
    """Keeps what PyTorch computes; `change` is what int8 does to it."""

    change = staticmethod(lambda output: output)

    def __init__(self, backbone, request, identity, shorter_side):
        self._backbone, self._request, self._store = backbone, request, EngineStore()

    def quantised(self, pictures):
        assert len(pictures) == 6  # of 8, of which every fourth is kept aside
        return "model"

    def save(self, model, folder):
        (folder / INT8_FILE).write_text(model)
        return folder / INT8_FILE

    def engine(self, path):
        runtime = TorchRuntime(self._backbone, self._request)
        runtime.change = self.change
        return EngineBackbone(self._backbone, runtime, self._request, "openvino", "int8")

    def keep(self, folder, engine):
        return self._store.keep_int8("name", folder, 0.9)


def run(pictures, *more: str) -> int:
    return main(["quantize", *MODEL, "--images", str(pictures), *PROMPTS, *more])


def test_what_agrees_is_kept(pictures, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("DINOISER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(quantize, "Quantisation", FakeQuantisation)
    assert run(pictures) == 0
    said = capsys.readouterr().out
    assert "100.00% of the labels of 2 pictures" in said
    assert EngineStore().quantised("name").read_text() == "model"
    assert run(pictures) == 0, "made again"


def test_what_does_not_agree_is_not_kept(pictures, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("DINOISER_CACHE", str(tmp_path / "cache"))
    worse = type("Worse", (FakeQuantisation,), {"change": staticmethod(lambda x: -x)})
    monkeypatch.setattr(quantize, "Quantisation", worse)
    assert run(pictures) == 1
    assert "The int8 form was not kept, since only" in capsys.readouterr().err
    assert not (tmp_path / "cache" / "engines").exists()
    assert run(pictures, "--least-agreement", "0") == 0


def test_too_few_pictures(pictures, tmp_path, capsys):
    (pictures / "7.png").write_bytes(b"no picture")
    assert run(pictures) == 1
    assert "has 7 pictures that can be read: give a folder with 8" in capsys.readouterr().err
    assert run(tmp_path / "nowhere") == 1
    assert "has 0 pictures" in capsys.readouterr().err


def test_pictures_are_spread_over_the_folder(pictures, monkeypatch):
    monkeypatch.setattr(quantize, "LEAST_PICTURES", 2)
    monkeypatch.setattr(quantize, "read_picture", lambda path: path.stem)
    assert quantize.read_pictures(pictures, 4) == ["0", "2", "4", "6"]


def test_without_packages_it_says_which(pictures, capsys):
    if find_spec("nncf") is not None:
        pytest.skip("nncf is installed")
    assert run(pictures) == 1
    assert "pip install 'dinoiser_ros[quantize]'" in capsys.readouterr().err


def test_a_method_without_a_network_of_that_kind(pictures, capsys):
    assert run(pictures, "--method", "cliper") == 1
    assert "No engine can compute" in capsys.readouterr().err


def test_int8_is_found_and_used(pictures, monkeypatch, tmp_path):
    for package in ("openvino", "nncf"):
        pytest.importorskip(package, reason=f"needs {package}")
    monkeypatch.setenv("DINOISER_CACHE", str(tmp_path / "cache"))
    assert run(pictures, "--least-agreement", "0") == 0
    segmenter = Segmenter(**GOLDEN_MODEL, device="cpu", engine="openvino", precision="int8")
    assert (segmenter.engine, segmenter.precision) == ("openvino", "int8"), segmenter.engine_problem
