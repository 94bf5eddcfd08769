# SPDX-License-Identifier: Apache-2.0
"""Picture files of every depth, with transparency, with several pictures, and odd ones."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from dinoiser_ros.errors import DinoiserError, PictureError
from dinoiser_ros.evaluation.datasets.label_pictures import as_they_are
from dinoiser_ros.evaluation.datasets.samples import read_pair
from dinoiser_ros.media.frame_sources import open_source
from dinoiser_ros.messages.decode import rgb_from_message
from dinoiser_ros.pictures.decode import PictureFile, decode_picture, read_picture
from dinoiser_ros.training.common.image_folder import Views, random_view

GREY = np.tile(np.arange(0, 256, 4, np.uint8), (64, 1))  # (64, 64), a ramp


def from_source(path: Path) -> np.ndarray:
    frame = open_source(str(path)).read()
    assert frame is not None
    return frame


def from_message(path: Path) -> np.ndarray:
    class Message:
        format = "mono16; png compressed"
        data = path.read_bytes()

    return rgb_from_message(Message())


def from_training(path: Path) -> np.ndarray:
    return random_view(path, np.random.default_rng(0), Views(64, 64, flip=0.0, brightness=0.0))


def from_evaluation(path: Path) -> np.ndarray:
    label = path.with_name("label.png")
    Image.fromarray(np.zeros(GREY.shape, np.uint8)).save(label)
    return read_pair(path, label, as_they_are(1)).rgb


READERS = [read_picture, from_source, from_message, from_training, from_evaluation]
DEPTHS: dict[str, tuple[str, Callable[[], np.ndarray]]] = {
    "8 bits": ("a.png", lambda: GREY),
    "16 bits": ("a.png", lambda: GREY.astype(np.uint16) * 257),
    "16-bit TIFF": ("a.tif", lambda: GREY.astype(np.uint16) * 257),
    "12 bits": ("a.png", lambda: GREY.astype(np.uint16) * 16),
    "float": ("a.tif", lambda: GREY.astype(np.float32) / 255),
    "32 bits": ("a.tif", lambda: GREY.astype(np.int32) * 257),
}


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
@pytest.mark.parametrize("depth", DEPTHS)
def test_every_reader_scales_every_depth_alike(tmp_path: Path, read, depth: str) -> None:
    name, make = DEPTHS[depth]
    Image.fromarray(make()).save(tmp_path / name)
    np.testing.assert_array_equal(read(tmp_path / name), np.repeat(GREY[:, :, None], 3, axis=2))


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_colours_of_16_bits(tmp_path: Path, read) -> None:
    colours = np.stack([GREY, GREY.T, 255 - GREY], axis=2)
    cv2.imwrite(str(tmp_path / "a.png"), colours[:, :, ::-1].astype(np.uint16) * 257)
    np.testing.assert_array_equal(read(tmp_path / "a.png"), colours)


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
@pytest.mark.parametrize("values", [np.nan, np.inf, -1.0, 7.5, 3e9])
def test_measurements_are_no_pictures(tmp_path: Path, read, values: float) -> None:
    content = np.full((64, 64), 0.5, np.float32)
    content[3, 4] = values
    Image.fromarray(content).save(tmp_path / "depth.tif")
    with pytest.raises(DinoiserError, match="values from"):
        read(tmp_path / "depth.tif")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_hidden_pixels_are_white(tmp_path: Path, mode: str) -> None:
    picture = Image.new("RGBA", (4, 2), (200, 0, 0, 255))
    picture.putpixel((1, 1), (0, 0, 0, 0))
    path = tmp_path / "a.png"
    picture.convert(mode).save(path)
    pixels = read_picture(path)
    assert pixels[1, 1].tolist() == [255, 255, 255]
    assert pixels[0, 0].tolist() != [255, 255, 255]


def test_a_message_keeps_what_is_below_its_transparency(tmp_path: Path) -> None:
    """As rgba8 does: simulators leave it unset."""
    Image.new("RGBA", (4, 2), (200, 10, 0, 0)).save(tmp_path / "a.png")
    assert decode_picture((tmp_path / "a.png").read_bytes())[0, 0].tolist() == [200, 10, 0]


def animation(path: Path, count: int = 3, **options) -> list[np.ndarray]:
    """A file of several pictures; returns them."""
    frames = [np.full((32, 48, 3), 60 + 60 * number, np.uint8) for number in range(count)]
    first, *rest = (Image.fromarray(frame) for frame in frames)
    first.save(path, save_all=True, append_images=rest, **options)
    return frames


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_all_pictures_of_a_file_are_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {}
    frames = animation(path, **options, **({} if suffix == "tif" else {"duration": 50}))
    source = open_source(str(path))
    assert source.rate == (10.0 if suffix == "tif" else pytest.approx(20.0))
    for _ in range(2):
        for frame in frames:
            np.testing.assert_array_equal(source.read(), frame)
        assert source.read() is None
        source.rewind()
    for read in (read_picture, from_message, from_training, from_evaluation):
        with pytest.raises(DinoiserError, match="where one is needed"):
            read(path)


def test_smaller_copies_in_a_tiff_are_no_pages(tmp_path: Path) -> None:
    page, small = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (8, 8), "red")
    path = tmp_path / "a.tif"
    page.save(path, save_all=True, append_images=[small], tiffinfo={254: 0})
    entry = b"\xfe\0\4\0\1\0\0\0"  # the tag, LONG, one value, which follows
    before, between, after = path.read_bytes().split(entry)
    path.write_bytes(before + entry + between + entry + b"\1" + after[1:])
    assert read_picture(tmp_path / "a.tif").shape == (64, 64, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_are_those_of_pillow(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as file:
        wanted = np.asarray(ImageOps.exif_transpose(file))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), wanted)


TOO_LONG = b"II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\xff\xff\xff\x7f\0\0\0\0"


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "tag", [b"\0\0\0\0junk", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0" + TOO_LONG]
)
def test_odd_exif_data_do_not_lose_the_picture(tmp_path: Path, tag: bytes) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.jpg", exif=tag)
    assert read_picture(tmp_path / "a.jpg").shape == (64, 64, 3)


def test_what_has_no_end_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "b.png"))
        for name in ("a.png", "b.png"):
            with pytest.raises(PictureError, match="not a file that can be read to its end"):
                PictureFile(tmp_path / name)
    with pytest.raises(PictureError, match="is not there"):
        PictureFile(tmp_path / "c.png")
