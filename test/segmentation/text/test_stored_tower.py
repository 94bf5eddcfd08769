# SPDX-License-Identifier: Apache-2.0
"""The text tower stays in its file until it is needed, and gives the same then."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_data import GOLDEN_MODEL, GOLDEN_PROMPTS
from safetensors.torch import load_file, save_file

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.segmentation import PromptError, Segmenter
from dinoiser_ros.segmentation.text import stored_tower as stored_text
from dinoiser_ros.segmentation.text.identity import text_names, weights_digest
from dinoiser_ros.segmentation.weights.checkpoint import StoredTensors, copy_into

NEW = "a phrase that nobody said before"


@pytest.fixture
def weights(tmp_path) -> Path:
    return Path(shutil.copy(GOLDEN_MODEL["weights"], tmp_path / "clip.safetensors"))


@pytest.fixture
def fills(monkeypatch) -> list:
    """Names of what was read after the model was loaded, one list for each time."""
    found = []

    def counted(module, state, names, source):
        found.append(list(names))
        copy_into(module, state, found[-1], source)

    monkeypatch.setattr(stored_text, "copy_into", counted)
    return found


def load(weights: Path) -> Segmenter:
    model = {**GOLDEN_MODEL, "weights": weights}
    return Segmenter(**model, device="cpu", precision="float32", offline=True)


def test_prompts_that_are_kept_need_no_text_tower(weights, fills):
    first = load(weights)
    assert fills == []
    first.set_prompts(GOLDEN_PROMPTS)
    first.set_prompts(["another"])
    assert len(fills) == 1 and set(fills[0]) == set(text_names(load_file(weights)))
    again = load(weights)
    again.set_prompts([*GOLDEN_PROMPTS, "another"])
    assert len(fills) == 1
    first.set_prompts([*GOLDEN_PROMPTS, "another"])
    assert torch.equal(again.vocabulary.embeddings, first.vocabulary.embeddings)
    again.embed_prompts([NEW])
    assert len(fills) == 2
    for name, tensor in load_file(weights).items():
        assert torch.equal(again._text._clip.state_dict()[name], tensor), name


def test_pytorch_files_are_read_as_a_whole(weights, fills, golden):
    path = weights.with_suffix(".pt")
    torch.save(load_file(weights), path)
    fills.clear()  # of the fixture
    segmenter = load(path)
    segmenter.set_prompts(["never said", NEW])
    assert fills == []
    golden.set_prompts(["never said", NEW])
    assert torch.equal(segmenter.vocabulary.embeddings, golden.vocabulary.embeddings)


def rewrite(path: Path) -> None:
    tensors = {name: tensor + 1 for name, tensor in load_file(path).items()}
    save_file(tensors, path)
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (Path.unlink, "cannot be read .No such file"),
        (rewrite, "changed since it was opened: start again"),
        (lambda path: path.write_bytes(b""), "it is damaged"),
    ],
)
def test_a_file_that_is_spoilt_meanwhile_costs_only_new_prompts(weights, spoil, reason):
    segmenter = load(weights)
    segmenter.set_prompts(["wooden floor", "person"])
    fresh = load(weights)
    spoil(weights)
    segmenter.set_prompts(["person", NEW])  # its text tower is complete
    fresh.set_prompts(["person", "wooden floor"])
    assert torch.equal(fresh.vocabulary.embeddings[0], segmenter.vocabulary.embeddings[0])
    with pytest.raises(PromptError, match=f"cannot be embedded: .*{reason}"):
        fresh.set_prompts(["person", "a phrase that nobody asked for"])
    segmenter.segment(np.zeros((32, 32, 3), np.uint8))


def test_a_file_in_the_place_of_another_lends_it_no_texts(weights):
    opened = load(weights)
    rewrite(weights)
    load(weights).set_prompts(["person", "door"])  # are kept, for the file as it is now
    with pytest.raises(PromptError, match="changed since it was opened"):
        opened.set_prompts(["person", "door"])


def test_the_digest_is_computed_once_for_a_file(weights, tmp_path, monkeypatch):
    state = StoredTensors(weights)
    wanted = weights_digest(state, text_names(state))
    stored = stored_text.StoredText(None, state)
    assert stored.digest(tmp_path / "new") == wanted
    (kept,) = (tmp_path / "new").iterdir()
    monkeypatch.setattr(stored_text, "weights_digest", None)
    assert stored.digest(tmp_path / "new") == wanted
    monkeypatch.undo()
    for damage in (b"", b"\xff\xfe", wanted[:-1].encode(), b"x" * 64):
        kept.write_bytes(damage)
        assert stored.digest(tmp_path / "new") == wanted
        assert kept.read_text() == wanted
    rewrite(weights)
    state = StoredTensors(weights)
    other = stored_text.StoredText(None, state).digest(tmp_path / "new")
    assert other == weights_digest(state, text_names(state)) != wanted


def test_a_digest_that_cannot_be_kept_is_computed_again(weights, tmp_path):
    (tmp_path / "file").write_text("")
    state = StoredTensors(weights)
    stored = stored_text.StoredText(None, state)
    assert stored.digest(tmp_path / "file") == weights_digest(state, text_names(state))


def test_tensors_are_read_when_asked_for(weights):
    state, whole = StoredTensors(weights), load_file(weights)
    assert len(state) == len(whole) and set(state) == set(whole)
    assert all(torch.equal(state[name], tensor) for name, tensor in whole.items())
    with pytest.raises(KeyError):
        state["nothing"]
    weights.unlink()
    with pytest.raises(WeightsError, match="No such file"):
        state["visual.proj"]
