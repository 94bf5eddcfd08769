# SPDX-License-Identifier: Apache-2.0
"""Damaged pictures are refused, whole ones never."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from dinoiser_ros.errors import PictureError
from dinoiser_ros.pictures.decode import decode_picture
from dinoiser_ros.pictures.integrity import check_whole


def picture(height: int = 120, width: int = 160, seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 with smooth and with noisy parts."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (6, 8, 3), np.uint8)
    smooth = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    noise = rng.integers(-20, 21, smooth.shape)
    return (smooth.astype(int) + noise).clip(0, 255).astype(np.uint8)


def coded(pixels: np.ndarray, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (8, 8), (16, 17), (120, 160), (300, 33)])
@pytest.mark.parametrize(
    "options",
    [
        {"quality": 5}, {"quality": 75}, {"quality": 100, "subsampling": 0}, {"subsampling": 1},
        {"optimize": True}, {"progressive": True}, {"restart_marker_blocks": 3},
        {"restart_marker_rows": 1}, {"comment": b"\xff\xd9 a marker"},
    ],
)  # fmt: skip
def test_whole_jpegs_are_whole(size, options) -> None:
    pixels = picture(*size)
    for content in (pixels, pixels[:, :, 0], np.zeros_like(pixels)):
        data = coded(content, "JPEG", **options)
        check_whole(data)
        check_whole(data + b"what a phone adds: \xff\xd9")
        assert decode_picture(data).shape == pixels.shape


def test_jpegs_of_other_encoders_are_whole() -> None:
    for flags in ([], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 4],
                  [cv2.IMWRITE_JPEG_OPTIMIZE, 1]):  # fmt: skip
        check_whole(cv2.imencode(".jpg", picture(), flags)[1].tobytes())
    check_whole(coded(np.asarray(Image.fromarray(picture()).convert("CMYK")), "TIFF"))
    buffer = io.BytesIO()
    Image.fromarray(picture()).convert("CMYK").save(buffer, "JPEG")
    check_whole(buffer.getvalue())


def test_a_webcams_few_bytes_too_many_are_allowed_for() -> None:
    data = coded(picture(), "JPEG")
    for extra in (b"\0", b"\0\0\0", b"\x35" * 3):
        check_whole(data[:-2] + extra + data[-2:])


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("options", [{}, {"restart_marker_blocks": 4}])
def test_a_cut_off_jpeg_is_refused(share: float, ended: bool, options) -> None:
    data = coded(picture(480, 640), "JPEG", **options)
    data = data[: int(len(data) * share)] + (b"\xff\xd9" if ended else b"")
    with pytest.raises(PictureError, match="damaged"):
        decode_picture(data)


def test_bytes_lost_in_the_middle_of_a_jpeg_are_found() -> None:
    """Where the decoder finds its place again at once it has no way to know; these are few."""
    data = coded(picture(480, 640), "JPEG", quality=85)
    start = data.index(b"\xff\xda") + 20
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(100):
        place = int(rng.integers(start, len(data) - 2000))
        lost = int(rng.integers(32, 1500))
        try:
            check_whole(data[:place] + data[place + lost :])
            missed += 1
        except PictureError as error:
            assert error.kind == "decode"
    assert missed <= 5


def test_every_changed_byte_of_a_png_is_found() -> None:
    data = coded(picture(20, 30), "PNG")
    rng = np.random.default_rng(1)
    for place in rng.integers(8, len(data), 200):
        broken = bytearray(data)
        broken[place] ^= 1 << int(rng.integers(0, 8))
        with pytest.raises(PictureError):
            decode_picture(bytes(broken))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"])
def test_any_cut_is_refused(form: str) -> None:
    data = coded(picture(40, 40), form)
    for share in (0.0, 0.01, 0.1, 0.5, 0.9):
        with pytest.raises(PictureError):
            decode_picture(data[: int(len(data) * share)])


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_jpeg_without_quantisation_is_refused(options: dict[str, Any]) -> None:
    """A table of zeros makes all details grey, and no decoder complains."""
    data = bytearray(coded(picture(), "JPEG", **options))
    start = data.find(b"\xff\xdb") + 5  # after marker, length, and the table's number
    data[start : start + 64] = bytes(64)
    with pytest.raises(PictureError, match="damaged: its quantisation is none"):
        check_whole(bytes(data))
