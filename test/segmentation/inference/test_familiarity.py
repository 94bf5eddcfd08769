# SPDX-License-Identifier: Apache-2.0
"""Pictures of other worlds are told from the simulated one, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from paths import ROOT

from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.inference.familiarity import (
    MOST,
    FamiliarityTest,
    FamiliarityWatch,
    load_familiarity_test,
)
from dinoiser_ros.sim.frames import read_frames
from dinoiser_ros.training.familiarity.build import fit
from dinoiser_ros.training.familiarity.other_pictures import other_picture

MODELS = {"demo": "dinoiser", "demo-maskclip+": "maskclip+"}
UNSEEN = 10_000  # pictures from this number on are in no training


@pytest.fixture(scope="module", params=MODELS)
def segmenter(request: pytest.FixtureRequest) -> Segmenter:
    segmenter = Segmenter(
        request.param, method=MODELS[request.param], device="cpu", precision="float32", offline=True
    )
    if segmenter.trained is None:
        segmenter.set_prompts(["floor", "wall", "person"])
    return segmenter


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    return [frame.rgb for frame in read_frames(ROOT / "data" / "heldout")][::20]


def test_held_out_frames_are_familiar_and_other_pictures_are_not(
    segmenter: Segmenter, frames: list[np.ndarray]
) -> None:
    known = [result.familiar for result in segmenter.segment_batch(frames)]
    assert sum(known) >= 0.9 * len(known)
    others = [other_picture(UNSEEN + number) for number in range(8)]
    strange = [not segmenter.segment(picture).familiar for picture in others]
    assert sum(strange) >= 0.75 * len(strange)


def test_labels_are_the_same_without_the_test(
    segmenter: Segmenter, frames: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = segmenter.segment(frames[0])
    monkeypatch.setattr(segmenter.parts.main, "watch", None)
    plain = segmenter.segment(frames[0])
    np.testing.assert_array_equal(plain.labels, watched.labels)
    np.testing.assert_array_equal(plain.confidence, watched.confidence)


def test_other_models_and_sizes_say_nothing(golden: Segmenter) -> None:
    picture = other_picture(UNSEEN)
    golden.set_prompts(["floor", "wall"])
    assert golden.parts.main.watch is None and golden.segment(picture).familiar
    demo = Segmenter("demo", device="cpu", precision="float32", offline=True, inference_size=96)
    demo.set_prompts(["floor", "wall"])
    assert demo.segment(picture).familiar  # the test was made for images of 192 pixels


def test_a_batch_is_judged_image_by_image() -> None:
    watch = FamiliarityWatch(FamiliarityTest(torch.tensor([1.0, -1.0]), torch.tensor(-0.5)))
    watch(torch.tensor([[1.0, 0.0], [0.0, 0.0], [2.0, 1.0]]))
    assert watch.familiar(3) == [False, True, False]
    watch(torch.tensor([[1.0, 0.0]]).expand(MOST + 2, 2))
    assert watch.familiar(MOST + 2) == [False] * MOST + [True] * 2


def test_the_fit_separates_and_keeps_its_false_alarms(tmp_path) -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(shift: float) -> torch.Tensor:
        return torch.randn(2000, 4, generator=generator).double() + shift * torch.eye(4)[0]

    test = fit(draw(0.0), draw(6.0))
    test.save(tmp_path / "test.safetensors")
    test = load_familiarity_test(tmp_path / "test.safetensors")
    assert (test.score(draw(0.0)) > 0).float().mean() < 0.03
    assert (test.score(draw(6.0)) > 0).float().mean() > 0.97


def test_other_pictures_are_the_same_each_time() -> None:
    make: Callable[[int], np.ndarray] = other_picture
    for number in range(6):
        picture = make(number)
        assert picture.dtype == np.uint8 and picture.shape[0] == 192 and picture.shape[2] == 3
        np.testing.assert_array_equal(picture, make(number))
        assert picture.std() > 1
