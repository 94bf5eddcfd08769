# SPDX-License-Identifier: Apache-2.0
"""`dinoiser segment --batch`: images of several files in one pass, results as one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("rosbags")

from bag_files import messages, write_bag
from media_fakes import segment_by_brightness
from rosbags.typesys import Stores, get_typestore
from video_files import write_video

from dinoiser_ros.errors import ImageError
from dinoiser_ros.media.batches import batched, segment_together
from dinoiser_ros.media.inputs import find_inputs
from dinoiser_ros.media.segment_input import segment_inputs
from dinoiser_ros.media.settings import Outcome, Settings
from dinoiser_ros.segmentation import Segmenter


@pytest.fixture
def passes(quick: Segmenter, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each pass had; a single one goes through `segment`."""
    quick.set_prompts(["person", "floor"])
    seen: list[int] = []

    def together(images: list[np.ndarray]) -> list[object]:
        seen.append(len(images))
        return [segment_by_brightness(quick, image) for image in images]

    monkeypatch.setattr(quick, "segment_batch", together)
    monkeypatch.setattr(quick, "segment", lambda image: together([image])[0])
    return seen


def run(segmenter: Segmenter, source: Path, output: Path, batch: int) -> dict[str, object]:
    settings = Settings(output, batch=batch)
    work = [(entry, settings) for entry in find_inputs([source], output)]
    found = segment_inputs(segmenter, work, batch)
    return {e.name: o if isinstance(o, Outcome) else str(o) for e, o in found}


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Pictures of which one is broken, a video of 5 frames, a bag of two cameras."""
    source = tmp_path / "in"
    source.mkdir()
    for number in range(5):
        pixels = np.full((32, 48, 3), 40 * number, np.uint8)
        Image.fromarray(pixels).save(source / f"{number}.png")
    (source / "2.png").write_bytes(b"no picture")
    write_video(source / "film.mp4")
    content = messages(get_typestore(Stores.ROS2_JAZZY), 5)
    content[3] = (*content[3][:3], b"\0\1\0\0broken")
    write_bag(source / "drive", content=content)
    return source


def test_batches_change_passes_and_no_result(tmp_path, archive, quick, passes):
    alone = run(quick, archive, tmp_path / "alone", 1)
    assert set(passes) == {1}
    count = len(passes)
    passes.clear()
    together = run(quick, archive, tmp_path / "together", 3)
    assert together == alone and "cannot be read" in str(alone["2"])
    assert digests(tmp_path / "together") == digests(tmp_path / "alone")
    assert sum(passes) == count and max(passes) == 3 and passes.count(3) >= 4


def test_an_image_that_fails_takes_no_other_of_its_batch_with_it(quick, passes, monkeypatch):
    segment: Callable[[np.ndarray], object] = quick.segment

    def picky(image: np.ndarray) -> object:
        if image.mean() > 100:
            raise ImageError("too bright")
        return segment(image)

    def all_or_none(images: list[np.ndarray]) -> list[object]:
        return [picky(image) for image in images]

    monkeypatch.setattr(quick, "segment", picky)
    monkeypatch.setattr(quick, "segment_batch", all_or_none)
    images = [np.full((8, 8, 3), value, np.uint8) for value in (10, 200, 30)]
    first, second, third = segment_together(quick, images)
    assert isinstance(second, ImageError)
    assert [first.confidence.max(), third.confidence.max()] == pytest.approx([10 / 255, 30 / 255])


def test_a_real_pass_of_several_gives_the_labels_of_single_ones(golden):
    golden.set_prompts(["person", "wooden floor", "sky"])
    images = list(np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3), np.uint8))
    images.append(images[0][:24].copy())
    for image, result in zip(images, segment_together(golden, images), strict=True):
        alone = golden.segment(image)
        np.testing.assert_allclose(result.confidence, alone.confidence, atol=1e-4)
        assert (result.labels == alone.labels).mean() > 0.999


def test_items_are_batched_to_the_last():
    assert list(batched(iter("abcde"), 2)) == [["a", "b"], ["c", "d"], ["e"]]
    assert list(batched([], 2)) == []
