# SPDX-License-Identifier: Apache-2.0
"""Videos through `dinoiser segment`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from media_fakes import fail_at_call
from PIL import Image
from video_files import FRAMES, HEIGHT, WIDTH, write_video

from dinoiser_ros.errors import MediaError
from dinoiser_ros.media.frame_sources import Video
from dinoiser_ros.media.inputs import PICTURE, VIDEO, Input
from dinoiser_ros.media.pictures import segment_picture
from dinoiser_ros.media.settings import Settings
from dinoiser_ros.media.videos import segment_video


def frames_of(path: Path) -> list[np.ndarray]:
    video, frames = Video(path), []
    while (frame := video.read()) is not None:
        frames.append(frame)
    video.close()
    return frames


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "mp4v"), (".avi", "MJPG")])
def test_the_overlay_has_the_frames_size_and_rate_of_the_video(tmp_path, quick, suffix, codec):
    video = write_video(tmp_path / f"film{suffix}", codec)
    outcome = segment_video(quick, video, Settings(tmp_path / "out"))
    assert outcome.summary.startswith(f"{FRAMES} frames: ") and not outcome.problems
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["film_overlay.mp4"]
    written = Video(tmp_path / "out" / "film_overlay.mp4")
    assert (written.rate, written.length) == (12.5, FRAMES)
    written.close()
    frames = frames_of(tmp_path / "out" / "film_overlay.mp4")
    assert len(frames) == FRAMES and frames[0].shape == (HEIGHT, WIDTH, 3)
    means = [frame[HEIGHT // 2 :].mean() for frame in frames]
    assert means == sorted(means), "in the order of the video"


def test_labels_and_confidence_are_numbered_pictures(tmp_path, segmenter):
    video = write_video(tmp_path / "film.mp4")
    settings = Settings(tmp_path / "out", save=frozenset({"labels", "confidence"}))
    segment_video(segmenter, video, settings)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "film_labels",
        "film_confidence",
    }
    for number, frame in enumerate(frames_of(video.path)):
        result = segmenter.segment(frame)
        labels = np.asarray(Image.open(tmp_path / "out" / "film_labels" / f"{number:06d}.png"))
        np.testing.assert_array_equal(labels, result.labels)
    confidence = sorted(path.name for path in (tmp_path / "out" / "film_confidence").iterdir())
    assert confidence == [f"{number:06d}.png" for number in range(FRAMES)]


def test_what_was_written_before_is_kept_unless_asked(tmp_path, quick):
    video = write_video(tmp_path / "film.mp4")
    (tmp_path / "film_overlay.mp4").write_text("precious")
    with pytest.raises(MediaError, match="--overwrite"):
        segment_video(quick, video, Settings(tmp_path))
    assert (tmp_path / "film_overlay.mp4").read_text() == "precious"
    segment_video(quick, video, Settings(tmp_path, overwrite=True))
    assert len(frames_of(tmp_path / "film_overlay.mp4")) == FRAMES


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("no space left")])
def test_nothing_half_written_is_left(tmp_path, quick, monkeypatch, error):
    video = write_video(tmp_path / "film.mp4")
    fail_at_call(monkeypatch, quick, 3, error)
    save = frozenset({"overlay", "labels"})
    with pytest.raises(type(error)):
        segment_video(quick, video, Settings(tmp_path / "out", save=save))
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_without_frames_is_said(tmp_path, quick, capfd):
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(100))
    with pytest.raises(MediaError, match="film.mp4.*convert it"):
        segment_video(quick, Input(tmp_path / "film.mp4", VIDEO, "film"), Settings(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_a_video_that_breaks_off_is_said(tmp_path, quick):
    video = write_video(tmp_path / "film.avi", "MJPG")
    content = video.path.read_bytes()
    places = [place for place in range(len(content)) if content.startswith(b"00dc", place)]
    video.path.write_bytes(content[: places[3]])
    outcome = segment_video(quick, video, Settings(tmp_path))
    assert re.match("[123] frames: ", outcome.summary)
    assert re.match("only [123] of 5 frames could be read", outcome.problems[0])


def test_without_opencv_it_is_said_what_to_install(tmp_path, quick, monkeypatch):
    video = write_video(tmp_path / "film.mp4")
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MediaError, match=r"pip install opencv-python-headless.*\[video\]"):
        segment_video(quick, video, Settings(tmp_path))


def test_an_animation_is_segmented_as_a_video(tmp_path, quick):
    frames = [Image.new("RGB", (WIDTH, HEIGHT), (80 * level,) * 3) for level in range(3)]
    path = tmp_path / "film.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=40)
    picture = Input(path, PICTURE, "film")
    outcome = segment_picture(quick, picture, Settings(tmp_path / "out"))
    assert outcome.summary.startswith("3 frames: ") and not outcome.problems
    assert [place.name for place in (tmp_path / "out").iterdir()] == ["film_overlay.mp4"]
    written = Video(tmp_path / "out" / "film_overlay.mp4")
    assert (written.rate, written.length) == (25.0, 3)
    written.close()


def test_pages_of_several_sizes_are_said(tmp_path, quick):
    pages = [Image.new("RGB", (32 * side, 32)) for side in (1, 2)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    picture = Input(tmp_path / "a.tif", PICTURE, "a")
    with pytest.raises(MediaError, match="differ in size .32x32, then 64x32"):
        segment_picture(quick, picture, Settings(tmp_path / "out"))
    settings = Settings(tmp_path / "out", save=frozenset({"labels"}))
    assert segment_picture(quick, picture, settings).summary.startswith("2 frames")
    assert len(list((tmp_path / "out" / "a_labels").iterdir())) == 2
