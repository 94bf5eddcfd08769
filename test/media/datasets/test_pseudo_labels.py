# SPDX-License-Identifier: Apache-2.0
"""`dinoiser segment --save pseudo-labels`: pairs of pictures, videos and bags."""

from __future__ import annotations

import io
import json
from pathlib import Path

import archive_fakes
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("rosbags")

from bag_files import messages, write_bag
from rosbags.typesys import Stores, get_typestore
from video_files import write_video

from dinoiser_ros.media import command as media
from dinoiser_ros.media.datasets.pseudo_labels import INDEX, labels_of, pair_of, pictures_of
from dinoiser_ros.segmentation import Segmentation

FRAMES = 4


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A picture, the same in a folder, a video of 5 frames, a bag with two cameras."""
    folder = tmp_path / "in"
    (folder / "more").mkdir(parents=True)
    pixels = np.full((64, 96, 3), 30, np.uint8)
    pixels[:, 48:] = 220
    Image.fromarray(pixels).save(folder / "a.png")
    Image.fromarray(pixels[:, ::-1]).save(folder / "more" / "a.b.png")
    write_video(folder / "film.mp4")
    write_bag(folder / "drive", content=messages(get_typestore(Stores.ROS2_JAZZY), FRAMES))
    return folder


def run(segmenter, source: Path, output: Path, *more: str) -> int:
    options = archive_fakes.parse(source, "-o", output, "--save", "pseudo-labels", *more)
    return media.run(options, lambda: segmenter)


def test_every_image_of_every_input_has_its_pair_and_nothing_else_is_written(
    tmp_path, source, quick
):
    assert run(quick, source, tmp_path / "out") == 0
    folder = tmp_path / "out" / "dataset-pseudo-labels"
    assert [path.name for path in (tmp_path / "out").iterdir()] == [folder.name]
    record = json.loads((folder / INDEX).read_text())
    assert record["inputs"] == ["drive", "a", "film", "more/a.b"]
    assert record["classes"] == ["person", "floor"] and record["prompts"] == ["person", "floor"]
    found = pictures_of(folder, record["inputs"])
    counts = {}
    for path in found:
        counts[path.parent.name] = counts.get(path.parent.name, 0) + 1
        with Image.open(path) as view, Image.open(labels_of(path.with_suffix(""))) as ids:
            assert view.size == ids.size
            light = np.asarray(view).astype(int).mean(axis=2) > 127.5
            assert (np.asarray(ids) == light).mean() > 0.97, "each has the labels of its picture"
    assert counts == {folder.name: 1, "more": 1, "film_frames": 5, "drive_frames": 2 * FRAMES}
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 2 * len(found) + 1


def test_what_is_there_is_kept_unless_asked_and_an_unfinished_set_has_no_index(
    tmp_path, source, quick, monkeypatch, capsys
):
    assert run(quick, source, tmp_path / "out") == 0
    index = tmp_path / "out" / "dataset-pseudo-labels" / INDEX
    capsys.readouterr()
    assert run(quick, source, tmp_path / "out") == 1
    assert capsys.readouterr().err.count("exists already: give --overwrite") == 2
    assert run(quick, source, tmp_path / "out", "--overwrite") == 0 and index.is_file()

    def stop(image: np.ndarray) -> Segmentation:
        raise KeyboardInterrupt

    monkeypatch.setattr(quick, "segment", stop)
    assert run(quick, source, tmp_path / "out", "--overwrite") == media.INTERRUPTED
    assert not index.exists()


def test_pairs_are_as_large_as_what_the_network_sees(quick):
    quick.set_prompts(["person", "floor"])
    labels = np.zeros((100, 150), np.uint16)
    labels[:, 75:] = 65535
    image = np.zeros((100, 150, 3), np.uint8)
    result = Segmentation(labels, labels.astype(np.float32), quick.classes, 65535)
    for shorter, size in ((40, (60, 40)), (None, (150, 100)), (400, (150, 100))):
        pair = pair_of(image, result, shorter)
        view, ids = (Image.open(io.BytesIO(content)) for content in pair)
        assert view.size == ids.size == size
        assert np.unique(np.asarray(ids)).tolist() == [0, 65535]
