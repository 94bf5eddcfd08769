# SPDX-License-Identifier: Apache-2.0
"""The file of examples: what is written is read, and anything else is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from dinoiser_ros.errors import ExampleError, WeightsError
from dinoiser_ros.segmentation.examples.example_set import Example, ExampleSet, clean_name
from dinoiser_ros.segmentation.examples.examples_file import (
    examples_path,
    read_examples,
    write_examples,
)


def example(seed: int) -> Example:
    generator = torch.Generator().manual_seed(seed)
    return Example(
        F.normalize(torch.randn(8, generator=generator), dim=0),
        F.normalize(torch.randn(64, 8, generator=generator), dim=1),
    )


def usable(name: str) -> bool:
    try:
        clean_name(name)
    except ExampleError:
        return False
    return True


@given(st.lists(st.text(min_size=1, max_size=12).filter(usable), min_size=1, max_size=4))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, names: list) -> None:
    path = tmp_path_factory.mktemp("examples") / "robot.safetensors"
    before = ExampleSet()
    for seed, name in enumerate(names):
        before = before.adding(name, [example(seed)])
    write_examples(path, before, "identity", "demo")
    after = read_examples(path, "identity", "demo")
    assert after.counts == before.counts
    for (_, one), (_, other) in zip(before, after, strict=True):
        torch.testing.assert_close(one.feature, other.feature, atol=1e-3, rtol=0)
        torch.testing.assert_close(one.background, other.background, atol=1e-3, rtol=0)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "robot.safetensors"
    write_examples(path, ExampleSet().adding("tote", [example(0)]), "identity", "demo")
    return path


def rewritten(path: Path, tensors: dict | None = None, **metadata: str) -> None:
    with safe_open(path, "pt") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = {**file.metadata(), **metadata}
    save_file({**found, **(tensors or {})}, path, header)


def test_a_file_that_is_not_there_has_none_and_an_empty_one_is_removed(written: Path) -> None:
    assert len(read_examples(written.with_name("none.safetensors"), "identity", "demo")) == 0
    write_examples(written, ExampleSet(), "identity", "demo")
    assert not written.exists()


def test_the_file_of_another_model_is_refused_by_name(written: Path) -> None:
    with pytest.raises(WeightsError, match=r"examples of the model 'demo'.*the model 'other'"):
        read_examples(written, "another identity", "other")


@pytest.mark.parametrize(
    ("tensors", "metadata"),
    [
        ({}, {"format": "weights"}),
        ({}, {"version": "9"}),
        ({}, {"names": "["}),
        ({}, {"names": "[" * 100_000}),
        ({}, {"names": "{}"}),
        ({}, {"names": "[]"}),
        ({}, {"names": json.dumps(["a,b"])}),
        ({}, {"names": json.dumps([" tote"])}),
        ({}, {"names": json.dumps(["tote", "pallet"])}),
        ({}, {"names": json.dumps(["tote"] * 10_000)}),
        ({"more": torch.zeros(1)}, {}),
        ({"features": torch.zeros(1, 8).half()}, {}),
        ({"features": torch.full((1, 8), torch.nan).half()}, {}),
        ({"features": torch.ones(1, 8).half()}, {}),
        ({"features": torch.ones(1, 8, dtype=torch.int32)}, {}),
        ({"features": torch.ones(1).half()}, {}),
        ({"background": torch.ones(1, 63, 8).half()}, {}),
    ],
)
def test_hostile_files_are_refused(written: Path, tensors: dict, metadata: dict) -> None:
    rewritten(written, tensors, **metadata)
    with pytest.raises(WeightsError):
        read_examples(written, "identity", "demo")


@pytest.mark.parametrize("content", [b"", b"\x80\x04N.", b"PK\x03\x04", b"\xff" * 4096])
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "robot.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError):
        read_examples(path, "identity", "demo")


def test_places_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ExampleError, match="safetensors"):
        examples_path(tmp_path / "robot.pkl")
    folder = tmp_path / "folder.safetensors"
    folder.mkdir()
    with pytest.raises(ExampleError, match="is a folder"):
        examples_path(folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(ExampleError, match="cannot be kept"):
        write_examples(
            tmp_path / "file" / "x.safetensors", ExampleSet().adding("a", [example(0)]), "i", "m"
        )
