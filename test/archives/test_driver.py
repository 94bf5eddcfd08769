# SPDX-License-Identifier: Apache-2.0
"""Handing out work: what is done once, again, in slices, and not at all. Without processes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("rosbags")

from bag_files import messages, write_bag
from media_fakes import segment_by_brightness
from rosbags.rosbag2 import CompressionMode, StoragePlugin
from rosbags.typesys import Stores, get_typestore

from dinoiser_ros.archives import worker as worker_module
from dinoiser_ros.archives.driver import Driver
from dinoiser_ros.archives.jobs import BagAssembly, BagSlice, Job, Report, WholeInputs
from dinoiser_ros.archives.manifest import Manifest
from dinoiser_ros.archives.worker import Task, Worker
from dinoiser_ros.errors import MediaError
from dinoiser_ros.media.inputs import BAG, PICTURE, Input
from dinoiser_ros.media.segment_input import segment_input
from dinoiser_ros.media.settings import Outcome, Settings
from dinoiser_ros.segmentation import Segmentation

FRAMES, MOST = 12, 8  # of each camera; of a slice


class Here:
    """A pool of two workers that do their jobs when they are asked for.

    Args:
        dies: whether the worker ends at a job, with the number of jobs so far.
    """

    ready_seconds = 1.0

    def __init__(self, worker: Worker, dies: Callable[[Job, int], bool] | None = None) -> None:
        self._worker, self._dies = worker, dies or (lambda *_: False)
        self._given: list[Job] = []
        self.jobs: list[Job] = []

    def free(self) -> int:
        return 2 - len(self._given)

    def submit(self, job: Job) -> None:
        self._given.append(job)

    def finished(self) -> list[tuple[Job, Report | None]]:
        job = self._given.pop()  # the last first: order must not matter
        self.jobs.append(job)
        report = None if self._dies(job, len(self.jobs)) else self._worker.perform(job)
        return [(job, report)]

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture
def worker(tmp_path: Path, quick) -> Worker:
    task = Task(lambda device: quick, ("person", "floor"), Settings(tmp_path / "out"), MOST)
    worker = Worker(task, "cpu", 1)
    worker._segmenter = quick  # `start` would hide the bars of this process
    quick.set_prompts(["person", "floor"])
    return worker


def bag(
    folder: Path,
    plugin: StoragePlugin = StoragePlugin.MCAP,
    compression: CompressionMode = CompressionMode.NONE,
) -> Input:
    """Two cameras with the same times, and depth."""
    content = messages(get_typestore(Stores.ROS2_JAZZY), FRAMES)
    return write_bag(folder / "drive", plugin, compression, content)


def picture(folder: Path, name: str) -> Input:
    path = folder / f"{name}.png"
    Image.fromarray(np.full((32, 48, 3), 9 * len(name), np.uint8)).save(path)
    return Input(path, PICTURE, name)


def go(folder: Path, pool: Here, *entries: Input, fresh: bool = False) -> dict[str, Outcome | str]:
    told: dict[str, Outcome | str] = {}
    with Manifest(folder / "out", {}, fresh) as manifest:
        missing = [entry for entry in entries if manifest.outcome(entry) is None]
        driver = Driver(manifest, lambda entry, found: told.update({entry.name: found}))
        driver.run(missing, pool)
    return told


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.jsonl"
    }


@pytest.mark.parametrize(
    ("plugin", "compression"),
    [
        (StoragePlugin.MCAP, CompressionMode.NONE),
        (StoragePlugin.MCAP, CompressionMode.STORAGE),
        (StoragePlugin.SQLITE3, CompressionMode.NONE),
        (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    ],
)
def test_a_bag_in_slices_is_byte_for_byte_that_of_one_process(
    tmp_path, quick, worker, plugin, compression
):
    entry = bag(tmp_path, plugin, compression)
    alone = segment_input(quick, entry, Settings(tmp_path / "alone"))
    pool = Here(worker)
    told = go(tmp_path, pool, entry)
    assert told == {"drive": alone}
    assert digests(tmp_path / "out") == digests(tmp_path / "alone")
    kinds = [type(job) for job in pool.jobs]
    assert kinds == [WholeInputs, *[BagSlice] * 3, BagAssembly]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "drive_segmented",
        "manifest.jsonl",
    }


def test_times_of_the_metadata_that_are_wrong_lose_nothing(tmp_path, quick, worker):
    entry = bag(tmp_path, StoragePlugin.SQLITE3)
    about = entry.path / "metadata.yaml"
    text = about.read_text()
    start = re.search(r"nanoseconds_since_epoch: (\d+)", text).group(1)
    about.write_text(text.replace(start, str(int(start) + 5 * 10**8)))
    alone = segment_input(quick, entry, Settings(tmp_path / "alone"))
    pool = Here(worker)
    assert go(tmp_path, pool, entry) == {"drive": alone}
    assert sum(isinstance(job, BagSlice) for job in pool.jobs) == 3
    assert digests(tmp_path / "out") == digests(tmp_path / "alone")


def test_images_that_cannot_be_read_are_counted_as_by_one_process(tmp_path, quick, worker):
    content = messages(get_typestore(Stores.ROS2_JAZZY), FRAMES)
    content[5] = (*content[5][:3], b"\0\1\0\0broken")
    content[9] = (*content[9][:3], b"\0\1\0\0broken")
    entry = write_bag(tmp_path / "drive", content=content)
    alone = segment_input(quick, entry, Settings(tmp_path / "alone"))
    assert alone.problems
    assert go(tmp_path, Here(worker), entry) == {"drive": alone}
    assert digests(tmp_path / "out") == digests(tmp_path / "alone")


def test_a_lost_worker_costs_one_slice(tmp_path, quick, worker):
    entry = bag(tmp_path)
    alone = segment_input(quick, entry, Settings(tmp_path / "alone"))
    pool = Here(worker, dies=lambda job, number: number == 3)
    assert go(tmp_path, pool, entry) == {"drive": alone}
    slices = [job.start for job in pool.jobs if isinstance(job, BagSlice)]
    assert len(slices) == 4 and len(set(slices)) == 3
    assert digests(tmp_path / "out") == digests(tmp_path / "alone")


def test_a_run_that_was_killed_goes_on_with_the_slices_that_are_missing(tmp_path, quick, worker):
    entry = bag(tmp_path)
    alone = segment_input(quick, entry, Settings(tmp_path / "alone"))

    def killed(job: Job, number: int) -> bool:
        if number == 4:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        go(tmp_path, Here(worker, killed), entry)
    assert (tmp_path / "out" / "drive_slices.part").is_dir()
    pool = Here(worker)
    assert go(tmp_path, pool, entry) == {"drive": alone}
    assert sum(isinstance(job, BagSlice) for job in pool.jobs) == 1
    assert digests(tmp_path / "out") == digests(tmp_path / "alone")
    pool = Here(worker)
    assert go(tmp_path, pool, entry) == {} and pool.jobs == [], "nothing is done twice"


def test_a_result_whose_line_was_not_written_any_more_is_made_again(tmp_path, worker):
    """The kill came after the bag had its name and before the manifest knew."""
    entry = bag(tmp_path)
    go(tmp_path, Here(worker), entry)
    path = tmp_path / "out" / "manifest.jsonl"
    *lines, last = path.read_text().splitlines(keepends=True)
    assert '"done"' in last
    path.write_text("".join(lines))
    before = digests(tmp_path / "out")
    (found,) = go(tmp_path, Here(worker), entry).values()
    assert isinstance(found, Outcome)
    assert digests(tmp_path / "out") == before


def test_a_bag_that_was_segmented_before_is_not_replaced(tmp_path, quick, worker):
    entry = bag(tmp_path)
    segment_input(quick, entry, Settings(tmp_path / "out"))
    before = digests(tmp_path / "out")
    for _ in range(2):
        (found,) = go(tmp_path, Here(worker), entry).values()
        assert "exists already: give --overwrite" in found
    assert digests(tmp_path / "out") == before


def test_a_slice_that_is_broken_fails_its_bag_and_is_made_again(tmp_path, worker):
    entry = bag(tmp_path)

    class Breaks(Here):
        def submit(self, job: Job) -> None:
            if isinstance(job, BagAssembly):
                job.slices[1].path.write_bytes(b"not a ZIP")
            super().submit(job)

    (found,) = go(tmp_path, Breaks(worker), entry).values()
    assert "000001.slice cannot be read" in found
    assert not (tmp_path / "out" / "drive_segmented").exists()
    (found,) = go(tmp_path, Here(worker), entry).values()
    assert isinstance(found, Outcome)


def test_one_picture_that_ends_workers_takes_no_other_with_it(tmp_path, worker):
    entries = [picture(tmp_path, name) for name in ("a", "b", "c")]

    def dies(job: Job, number: int) -> bool:
        return isinstance(job, WholeInputs) and entries[1] in job.entries

    pool = Here(worker, dies)
    told = go(tmp_path, pool, *entries)
    assert told["b"].startswith("3 workers ended while they were at it")
    assert isinstance(told["a"], Outcome) and isinstance(told["c"], Outcome)
    names = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert names == {f"{n}_{k}.png" for n in "ac" for k in ("overlay", "labels", "confidence")}


def test_a_slice_that_ends_workers_fails_its_bag_and_begins_no_other(tmp_path, worker):
    entries = [bag(tmp_path), picture(tmp_path, "a")]
    pool = Here(worker, lambda job, _: isinstance(job, BagSlice) and bool(job.path.name[5] == "1"))
    told = go(tmp_path, pool, *entries)
    assert told["drive"].startswith("3 workers ended")
    assert isinstance(told["a"], Outcome)
    assert not any(isinstance(job, BagAssembly) for job in pool.jobs)


@pytest.mark.parametrize("kind", ["lost", "refused"])
def test_a_bag_of_which_two_slices_fail_at_once_fails_once(tmp_path, worker, monkeypatch, kind):
    def refuse(*_: object) -> int:
        raise MediaError("the disk is full.")

    entry, told = bag(tmp_path), list[tuple[Input, Outcome | str]]()
    monkeypatch.setattr(worker_module, "segment_slice", refuse)
    pool = Here(worker, lambda job, _: kind == "lost" and isinstance(job, BagSlice))
    with Manifest(tmp_path / "out", {}) as manifest:
        Driver(manifest, lambda *what: told.append(what)).run([entry], pool)
        ((found, sentence),) = told
        lines = manifest.path.read_text().splitlines()
    assert found == entry and isinstance(sentence, str)
    assert sum('"failed"' in line for line in lines) == 1
    last = pool.jobs[-1]
    assert pool.jobs.count(last) == 1, "a slice that was under way is not begun again"


def test_workers_batch_pictures_and_the_images_of_slices(tmp_path, quick, monkeypatch):
    entries = [bag(tmp_path), *(picture(tmp_path, name) for name in ("a", "bb", "ccc", "d"))]
    quick.set_prompts(["person", "floor"])
    for entry in entries:
        segment_input(quick, entry, Settings(tmp_path / "alone"))
    passes: list[int] = []

    def together(images: list[np.ndarray]) -> list[Segmentation]:
        passes.append(len(images))
        return [segment_by_brightness(quick, image) for image in images]

    monkeypatch.setattr(quick, "segment_batch", together)
    settings = Settings(tmp_path / "out", batch=3)
    worker = Worker(Task(lambda device: quick, ("person", "floor"), settings, MOST), "cpu", 1)
    worker._segmenter = quick
    go(tmp_path, Here(worker), *entries)
    assert digests(tmp_path / "out") == digests(tmp_path / "alone")
    assert passes.count(3) >= 1 + 2 * FRAMES // MOST and max(passes) == 3


def test_bad_inputs_are_noted_with_their_sentence(tmp_path, worker):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    entries = [
        Input(tmp_path / "broken.png", PICTURE, "broken"),
        Input(tmp_path / "nowhere", BAG, "nowhere"),
        Input(tmp_path / "text.txt", None, "text", "it is a text."),
    ]
    told = go(tmp_path, Here(worker), *entries)
    assert "cannot be read" in told["broken"]
    assert told["nowhere"] == "there is no such file or folder."
    assert told["text"] == "it is a text."
    text = (tmp_path / "out" / "manifest.jsonl").read_text()
    assert all(sentence in text for sentence in told.values())
