# SPDX-License-Identifier: Apache-2.0
"""`make bench-engines` on a few small frames, with what PyTorch itself can be compared with."""

from __future__ import annotations

import pytest
import torch
from engines import __main__ as bench
from engines import variants
from paths import ROOT


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_times_and_labels_of_all_variants(monkeypatch, capsys):
    found = [("torch", "float32"), ("torch", "bfloat16"), ("tensorrt", "float32")]
    monkeypatch.setattr(variants, "wanted", lambda: iter(found))
    monkeypatch.setattr(
        "sys.argv",
        ["engines", "--models", "demo", "--sizes", "32x48", "--rounds", "1", "--threads", "1",
         "--every", "120", "--frames", str(ROOT / "data" / "heldout")],
    )  # fmt: skip
    assert bench.main() == 0
    said = capsys.readouterr().out
    assert "tensorrt float32 is left out: the engine tensorrt is not used" in said
    rows = [line.split("|") for line in said.splitlines() if "torch" in line and "|" in line]
    assert [row[1].strip() for row in rows] == ["torch float32", "torch bfloat16"] * 2
    assert "100.00%" in rows[2][2] and "%" in rows[3][4]


def test_only_what_is_installed_is_wanted(monkeypatch, capsys):
    missing = {"openvino": "openvino", "onnxruntime": None}
    monkeypatch.setattr(variants, "missing_package", missing.__getitem__)
    monkeypatch.setattr(variants, "cpu_has_bfloat16", lambda: False)
    assert list(variants.wanted()) == [("torch", "float32"), ("onnxruntime", "float32")]
    assert (
        "openvino is left out: run pip install 'dinoiser_ros[openvino]'" in capsys.readouterr().out
    )
