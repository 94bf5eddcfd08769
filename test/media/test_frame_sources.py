# SPDX-License-Identifier: Apache-2.0
"""Where image_source takes its frames from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dinoiser_ros.errors import FrameSourceError
from dinoiser_ros.media.frame_sources import open_source
from dinoiser_ros.pictures.decode import read_picture


@pytest.fixture
def pixels() -> np.ndarray:
    """(H, W, 3) uint8 RGB, not symmetric in anything."""
    return np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)


def test_a_picture_is_read_as_rgb_again_and_again(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "one.png")
    source = open_source(str(tmp_path / "one.png"))
    for _ in range(2):
        assert np.array_equal(source.read(), pixels)
        assert source.read() is None
        source.rewind()


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels[:3]).save(tmp_path / "b.PNG")
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    source = open_source(str(tmp_path))
    assert [source.read().shape[0] for _ in range(2)] == [6, 3]
    assert source.read() is None


def test_a_broken_picture_is_an_error_and_the_next_is_read(
    tmp_path: Path, pixels: np.ndarray
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    Image.fromarray(pixels).save(tmp_path / "b.png")
    source = open_source(str(tmp_path))
    with pytest.raises(FrameSourceError, match="a.jpg cannot be read"):
        source.read()
    assert np.array_equal(source.read(), pixels)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "CMYK"])
def test_pictures_of_any_mode_become_rgb(tmp_path: Path, pixels: np.ndarray, mode: str) -> None:
    path = tmp_path / "picture.tif"
    Image.fromarray(pixels).convert(mode).save(path)
    assert read_picture(path).shape == pixels.shape
    assert read_picture(path).dtype == np.uint8


def test_a_picture_is_turned_upright(tmp_path: Path, pixels: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be turned by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read_picture(tmp_path / "turned.png"), np.rot90(pixels, -1))


def test_a_video_is_read_at_its_rate_and_again_after_its_end(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (64, 48))
    if not writer.isOpened():
        pytest.skip("this OpenCV cannot write videos")
    for level in (0, 100, 200):
        writer.write(np.full((48, 64, 3), (level, 0, 0), np.uint8))  # blue
    writer.release()
    source = open_source(str(path))
    assert source.rate == pytest.approx(20.0)
    for _ in range(2):
        frames = [source.read() for _ in range(3)]
        assert source.read() is None
        assert [frame.shape for frame in frames] == [(48, 64, 3)] * 3
        assert np.allclose([frame[..., 2].mean() for frame in frames], [0, 100, 200], atol=12)
        source.rewind()
    source.close()


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("", "set the parameter 'path'"),
        ("/nowhere/at/all", "there is no file or folder /nowhere/at/all"),
        ("977", "webcam 977 cannot be opened"),
        ("/dev/video977", "webcam 977 cannot be opened"),
    ],
)
def test_what_is_not_there_is_said(path: str, sentence: str) -> None:
    with pytest.raises(FrameSourceError, match=sentence):
        open_source(path)


def test_an_empty_folder_and_a_text_file_are_said(tmp_path: Path) -> None:
    with pytest.raises(FrameSourceError, match="has no picture in it"):
        open_source(str(tmp_path))
    (tmp_path / "notes.txt").write_text("not a video")
    with pytest.raises(FrameSourceError, match="neither a picture nor a video"):
        open_source(str(tmp_path / "notes.txt"))
