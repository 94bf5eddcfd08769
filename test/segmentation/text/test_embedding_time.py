# SPDX-License-Identifier: Apache-2.0
"""A list of prompts that would take too long is refused after its first phrases."""

from __future__ import annotations

import time

import pytest
import torch

from dinoiser_ros.errors import PromptError
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.text import encoder
from dinoiser_ros.segmentation.text.tower import TextTower


@pytest.fixture
def segmenter(monkeypatch: pytest.MonkeyPatch, tmp_path) -> Segmenter:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Segmenter("demo", device="cpu", precision="float32", offline=True)


def test_the_answer_says_the_cost(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def slow_tower(tokens: torch.Tensor) -> torch.Tensor:
        calls.append(len(tokens))
        time.sleep(0.02)
        return torch.ones(len(tokens), 4)

    monkeypatch.setattr(segmenter._text, "_tower", slow_tower)
    monkeypatch.setattr(encoder, "MAX_TIME", 1.0)
    segmenter._text._cache = None
    with pytest.raises(PromptError, match=r"200 new phrases .* \(0\.0\d s each\): give at most \d"):
        segmenter.embed_prompts([f"thing {i}" for i in range(200)])
    assert len(calls) == encoder._TRIAL
    assert len(segmenter.embed_prompts([f"thing {i}" for i in range(12)]).classes) == 12


def test_phrases_that_are_too_long_are_found_before_any_is_embedded(
    segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TextTower, "__call__", lambda *_: pytest.fail("embedded"))
    with pytest.raises(PromptError, match="tokens too long"):
        segmenter.embed_prompts(["nothing ever seen before", "very " * 35 + "long"])
