# SPDX-License-Identifier: Apache-2.0
"""`dinoiser web`: pictures in place of cameras, segmented while somebody looks at them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from golden_data import GOLDEN_MODEL
from PIL import Image
from ros_helpers import wait_until

from dinoiser_ros.errors import DinoiserError, MediaError
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.web.command import find_pictures
from dinoiser_ros.web.frame import Frame
from dinoiser_ros.web.local_backend import LocalBackend


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, Path]:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    (tmp_path / "rooms").mkdir()
    for name in ("a.png", "b.png", "rooms/a.png"):
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("no picture")
    return find_pictures([tmp_path])


@pytest.fixture
def backend(pictures: dict[str, Path]) -> Iterator[LocalBackend]:
    segmenter = Segmenter(**GOLDEN_MODEL, inference_size=64)
    segmenter.set_prompts(["floor", "wall"])
    made = LocalBackend(segmenter, pictures)
    made.start(lambda: None)
    yield made
    made.close()


def newest(backend: LocalBackend, name: str, after: int = 0) -> Frame:
    def found() -> Frame | None:
        frame = backend.newest(name)
        return frame if frame is not None and frame.number > after else None

    return wait_until(found, "a frame")


def test_what_is_looked_at_is_segmented_and_again_after_a_change(backend: LocalBackend) -> None:
    assert backend.state().cameras == ("a", "b", "broken", "rooms/a")
    backend.watch(frozenset({"a"}))
    first = newest(backend, "a")
    assert first.class_names == {0: "floor", 1: "wall"} and first.labels is not None
    assert first.image.shape == (48, 64, 3) and backend.newest("b") is None
    grid = backend.probabilities(first)
    assert grid.values.shape == (2, 48, 64) and grid.class_names == ("floor", "wall")

    backend.change({"prompts": ["floor", "wall", "sofa"], "gamma": -1.0, "inference_size": 96})
    second = newest(backend, "a", first.number)
    assert tuple(second.class_names.values()) == ("floor", "wall", "sofa")
    assert backend.state().classes == ((0, "floor"), (1, "wall"), (2, "sofa"))
    values = backend.state().values()
    assert (values["gamma"], values["inference_size"]) == (-1.0, 96)
    backend.watch(frozenset())
    assert backend.newest("a") is None
    backend.change({"confidence_threshold": 0.5})
    time.sleep(0.05)
    assert backend.newest("a") is None  # nobody looks


def test_a_taught_class_is_in_the_next_frame_of_the_picture(backend: LocalBackend) -> None:
    backend.watch(frozenset({"a"}))
    first = newest(backend, "a")
    assert backend.teach(first, "tote", np.array([[10.0, 20.0], [40.0, 5.0]])) == 2
    assert backend.state().examples == (("tote", 2),)
    assert newest(backend, "a") is first, "no prompt names it: nothing to segment again"
    backend.change({"prompts": ["floor", "wall", "@tote"]})
    second = newest(backend, "a", first.number)
    assert backend.teach(first, "tote", np.array([0.0, 0.0, 30.0, 30.0])) == 3
    third = newest(backend, "a", second.number)
    assert third.class_names == {0: "floor", 1: "wall", 2: "tote"}
    with pytest.raises(DinoiserError, match="in use"):
        backend.forget("tote", None)
    assert backend.forget("tote", 2) == 1
    newest(backend, "a", third.number)
    assert backend.state().examples == (("tote", 1),)
    with pytest.raises(DinoiserError, match="outside"):
        backend.teach(first, "tote", np.array([[64.0, 0.0]]))


@pytest.mark.parametrize(
    "values",
    [
        {"prompts": ["a", "A"], "gamma": 0.5},
        {"gamma": 7.0, "prompts": ["sofa"]},
        {"method": "magic", "prompts": ["sofa"]},
        {"nothing": 1},
    ],
)
def test_a_refused_change_changes_nothing(backend: LocalBackend, values: dict) -> None:
    before = backend.state()
    with pytest.raises(DinoiserError):
        backend.change(values)
    assert backend.state() == before


def test_examples_and_a_method_without_them_are_checked_together(backend: LocalBackend) -> None:
    backend.watch(frozenset({"a"}))
    backend.teach(newest(backend, "a"), "tote", np.array([[10.0, 20.0]]))
    before = backend.state()
    with pytest.raises(DinoiserError, match="cannot have classes given by examples"):
        backend.change({"prompts": ["floor", "@tote"], "method": "cliper"})
    assert backend.state() == before
    backend.change({"prompts": ["floor", "@tote"]})
    backend.change({"prompts": ["floor", "wall"], "method": "cliper"})
    with pytest.raises(DinoiserError, match="cannot have classes given by examples"):
        backend.change({"prompts": ["floor", "@tote"]})
    backend.change({"prompts": ["floor", "@tote"], "method": "dinoiser"})
    assert backend.state().classes == ((0, "floor"), (1, "tote"))


def test_probabilities_never_get_the_names_of_other_prompts(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.watch(frozenset({"a"}))
    frame, segmenter = newest(backend, "a"), backend._segmenter
    whole = segmenter.probability_grid

    def slow(image: np.ndarray) -> np.ndarray:
        segmenter.set_prompts(["sofa", "lamp"])  # as many as before
        return whole(image)

    monkeypatch.setattr(segmenter, "probability_grid", slow)
    with pytest.raises(DinoiserError, match="ask again"):
        backend.probabilities(frame)


def test_a_broken_picture_is_told_of_and_the_others_go_on(backend: LocalBackend) -> None:
    backend.watch(frozenset({"broken", "b"}))
    broken = newest(backend, "broken")
    with pytest.raises(DinoiserError):
        broken.message()
    newest(backend, "b").message()


def test_no_picture_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no picture"):
        find_pictures([tmp_path])
    with pytest.raises(MediaError, match="nowhere"):
        find_pictures([tmp_path / "nowhere.png"])
