# SPDX-License-Identifier: Apache-2.0
"""Classes given by examples, with the embedded models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from paths import ROOT

from dinoiser_ros.errors import ExampleError, OptionError, PromptError, WeightsError
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.sim.classes import CLASSES
from dinoiser_ros.sim.frames import LabelledFrame, read_frames

OTHERS = [name for name in CLASSES if name != "traffic cone"]


def load(model: str = "demo", **options: object) -> Segmenter:
    return Segmenter(model, device="cpu", precision="float32", offline=True, **options)


@pytest.fixture(scope="module")
def frames() -> list[LabelledFrame]:
    """Frames with a large traffic cone."""
    found = []
    for frame in read_frames(ROOT / "data" / "heldout"):
        if (frame.labels == CLASSES.index("traffic cone")).sum() > 700:
            found.append(frame)
        if len(found) == 8:
            break
    return found


@pytest.fixture
def segmenter() -> Segmenter:
    return load()


def middle(mask: np.ndarray) -> tuple[float, float]:
    ys, xs = np.nonzero(mask)
    nearest = np.hypot(ys - ys.mean(), xs - xs.mean()).argmin()
    return float(xs[nearest]), float(ys[nearest])


def cone(frame: LabelledFrame) -> np.ndarray:
    mask: np.ndarray = frame.labels == CLASSES.index("traffic cone")
    return mask


def iou(segmenter: Segmenter, frames: list[LabelledFrame], entry: int) -> float:
    both = either = 0
    for frame in frames:
        found = segmenter.segment(frame.rgb).labels == entry
        both += int((found & cone(frame)).sum())
        either += int((found | cone(frame)).sum())
    return both / either


# Pooled features of dinoiser are the cleanest; the network of maskclip+ knows its own classes best.
@pytest.mark.parametrize(
    ("method", "share"), [("dinoiser", 0.8), ("maskclip", 0.6), ("maskclip+", 0.5)]
)
def test_a_taught_class_is_found_about_as_well_as_a_named_one(
    frames: list[LabelledFrame], method: str, share: float
) -> None:
    model = "demo-maskclip+" if method == "maskclip+" else "demo"
    segmenter = load(model, method=method)
    for frame in frames[:3]:
        segmenter.teach("our drum", frame.rgb, [middle(cone(frame))])
    assert segmenter.examples.counts == {"our drum": 3}
    segmenter.set_prompts([*OTHERS, "traffic cone"])
    named = iou(segmenter, frames[3:], len(OTHERS))
    segmenter.set_prompts([*OTHERS, "@our drum"])
    taught = iou(segmenter, frames[3:], len(OTHERS))
    assert segmenter.classes[-1].name == "our drum"
    assert named > 0.3 and taught > share * named


def test_examples_beside_phrases_are_one_more_row(
    segmenter: Segmenter, frames: list[LabelledFrame]
) -> None:
    segmenter.teach("drum", frames[0].rgb, cone(frames[0]))
    classes = segmenter.set_prompts(["floor", "drum: traffic cone, @drum"])
    assert classes[1].phrases == ("traffic cone", "@drum")
    assert segmenter.vocabulary.embeddings.shape[0] == 3
    assert segmenter.vocabulary.phrase_class.tolist() == [0, 1, 1]
    box = np.argwhere(cone(frames[0]))
    (top, left), (bottom, right) = box.min(axis=0), box.max(axis=0) + 1
    before = segmenter.vocabulary.embeddings.clone()
    assert segmenter.teach("DRUM", frames[0].rgb, (left, top, right, bottom)) == 2
    after = segmenter.vocabulary.embeddings  # the prompts in use took it in
    assert (before[:2] == after[:2]).all() and (before[2] != after[2]).any()
    assert segmenter.forget("drum", 1) == 1
    assert np.allclose(segmenter.vocabulary.embeddings, before, atol=1e-6)


def test_examples_in_use_are_not_removed(segmenter: Segmenter, frames: list[LabelledFrame]) -> None:
    segmenter.teach("drum", frames[0].rgb, cone(frames[0]))
    segmenter.set_prompts(["@drum", "floor"])
    with pytest.raises(ExampleError, match="in the prompts in use"):
        segmenter.forget("drum")
    assert segmenter.segment(frames[0].rgb).labels.shape == cone(frames[0]).shape
    segmenter.set_prompts(["floor", "wall"])
    assert segmenter.forget("drum") == 0 and segmenter.examples.counts == {}


def test_the_file_carries_examples_from_one_segmenter_to_the_next(
    tmp_path: Path, frames: list[LabelledFrame]
) -> None:
    file = tmp_path / "robot.safetensors"
    first = load(examples_file=file)
    first.teach("drum", frames[0].rgb, [middle(cone(frames[0]))])
    first.set_prompts(["@drum", "floor"])
    second = load(examples_file=file)
    second.set_prompts(["@drum", "floor"])
    assert np.allclose(first.vocabulary.embeddings, second.vocabulary.embeddings, atol=2e-3)
    rounded = Segmenter(
        "demo", device="cpu", precision="bfloat16", offline=True, examples_file=file
    )
    assert rounded.examples.counts == {"drum": 1}  # the number format is no other model
    with pytest.raises(WeightsError, match="'demo'"):
        load("demo-maskclip+", method="maskclip+", examples_file=file)


def test_methods_that_cannot_have_examples_say_so(frames: list[LabelledFrame]) -> None:
    segmenter = load(method="cliper")
    with pytest.raises(OptionError, match=r"'cliper' cannot have .* 'dinoiser'"):
        segmenter.teach("drum", frames[0].rgb, cone(frames[0]))
    segmenter = load()
    segmenter.teach("drum", frames[0].rgb, cone(frames[0]))
    segmenter.set_prompts(["@drum", "floor"])
    with pytest.raises(OptionError, match="'cliper' cannot have"):
        segmenter.method = "cliper"
    segmenter.set_prompts(["ball", "floor"])
    segmenter.method = "cliper"
    with pytest.raises(OptionError, match="'cliper' cannot have"):
        segmenter.set_prompts(["@drum", "floor"])


def test_bad_examples_change_nothing(segmenter: Segmenter, frames: list[LabelledFrame]) -> None:
    image = frames[0].rgb
    for name, region in (
        ("drum", np.zeros(image.shape[:2], bool)),
        ("drum", np.ones(image.shape[:2], bool)),
        ("drum", (900, 0, 950, 20)),
        ("drum", [(float("nan"), 3.0)]),
        ("drum: a", [(3.0, 3.0)]),
    ):
        with pytest.raises(ExampleError):
            segmenter.teach(name, image, region)
    assert segmenter.examples.counts == {}
    with pytest.raises(PromptError, match="Nothing was taught"):
        segmenter.set_prompts(["@drum"])


def test_a_picture_of_one_colour_can_be_taught_by_and_stays_finite(segmenter: Segmenter) -> None:
    segmenter.teach("grey", np.full((64, 64, 3), 128, np.uint8), [(3, 3)])
    segmenter.set_prompts(["@grey"])
    assert segmenter.vocabulary.embeddings.isfinite().all()
