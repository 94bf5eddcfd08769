# SPDX-License-Identifier: Apache-2.0
"""Camera messages to RGB and back: encodings, padding, byte order, and messages that lie."""

from __future__ import annotations

from array import array
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from dinoiser_ros.errors import ImageMessageError
from dinoiser_ros.messages import decode as encodings
from dinoiser_ros.messages import encode as conversions
from dinoiser_ros.messages.decode import ENCODINGS, rgb_from_image
from dinoiser_ros.messages.encode import image_message

HEIGHT, WIDTH = 32, 48


@pytest.fixture(scope="module")
def rgb() -> np.ndarray:
    """A smooth colour picture: chroma subsampling and demosaicing keep it nearly as it is."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    channels = (40 + 4 * x, 200 - 5 * y, 60 + 2 * x + 2 * y)
    return np.stack(channels, axis=2).clip(0, 255).astype(np.uint8)


def encode(rgb: np.ndarray, encoding: str) -> np.ndarray:
    """The picture as a camera with this encoding sends it: (rows, ...) of uint8 or uint16."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    bgr = rgb[:, :, ::-1]
    opaque = np.full((*rgb.shape[:2], 1), 255, np.uint8)
    plain = {
        "rgb8": rgb,
        "8UC3": bgr,
        "bgr8": bgr,
        "8UC4": np.concatenate([bgr, opaque], axis=2),
        "rgba8": np.concatenate([rgb, opaque], axis=2),
        "bgra8": np.concatenate([bgr, opaque], axis=2),
        "mono8": grey,
        "8UC1": grey,
        "mono16": grey.astype(np.uint16) * 257,
    }
    if encoding in plain:
        return np.ascontiguousarray(plain[encoding])
    if encoding.startswith("bayer"):
        return _bayer(rgb, encoding[6:10])
    luma, blue, red = _yuv(rgb)
    if encoding in ("nv12", "nv21"):
        pair = (blue, red) if encoding == "nv12" else (red, blue)
        chroma = np.stack([plane[::2, ::2] for plane in pair], axis=2)
        return np.concatenate([luma, chroma.reshape(len(rgb) // 2, -1)])
    chroma = np.empty_like(luma)
    chroma[:, ::2], chroma[:, 1::2] = blue[:, ::2], red[:, ::2]
    order = (luma, chroma) if encoding in ("yuyv", "yuv422_yuy2") else (chroma, luma)
    return np.stack(order, axis=2)


def _bayer(rgb: np.ndarray, pattern: str) -> np.ndarray:
    """The mosaic whose upper left 2 x 2 pixels have the colours of `pattern`, such as rggb."""
    mosaic = np.empty(rgb.shape[:2], np.uint8)
    for index, colour in enumerate(pattern):
        y, x = divmod(index, 2)
        mosaic[y::2, x::2] = rgb[y::2, x::2, "rgb".index(colour)]
    return mosaic


def _yuv(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """BT.601 luma and chroma in video range, at full resolution."""
    matrix = np.array([[65.738, 129.057, 25.064], [-37.945, -74.494, 112.439]])
    matrix = np.concatenate([matrix, [[112.439, -94.154, -18.285]]]) / 256
    planes = rgb.astype(np.float64) @ matrix.T + [16, 128, 128]
    return tuple(np.rint(planes[:, :, i]).astype(np.uint8) for i in range(3))


def pad(message: Image, extra: int) -> Image:
    """The same image with `extra` bytes of rubbish after each row."""
    rows = np.frombuffer(message.data, np.uint8).reshape(-1, message.step)
    rubbish = np.full((len(rows), extra), 77, np.uint8)
    message.data = array("B", np.concatenate([rows, rubbish], axis=1).tobytes())
    message.step += extra
    return message


def as_message(rgb: np.ndarray, encoding: str) -> Image:
    """The picture as an Image of this encoding."""
    message = image_message(encode(rgb, encoding), encoding, Header(frame_id="camera"))
    message.height = len(rgb)  # planar encodings have more rows than the image
    return message


def expected(rgb: np.ndarray, encoding: str) -> np.ndarray:
    """What should come out: the picture itself, or its grey."""
    if encoding.startswith(("mono", "8UC1")):
        return np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
    return rgb


@pytest.mark.parametrize("extra", [0, 10], ids=["packed", "padded"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding(rgb: np.ndarray, encoding: str, extra: int) -> None:
    result = rgb_from_image(pad(as_message(rgb, encoding), extra))
    assert result.shape == rgb.shape and result.dtype == np.uint8
    error = np.abs(result.astype(int) - expected(rgb, encoding))
    if encoding.startswith("bayer"):
        assert error[2:-2, 2:-2].max() <= 6
    elif encoding in ("nv12", "nv21") or "yuv" in encoding or encoding in ("uyvy", "yuyv"):
        assert error.max() <= 12
    else:
        assert error.max() == 0


def test_big_endian(rgb: np.ndarray) -> None:
    message = as_message(rgb, "mono16")
    swapped = np.frombuffer(message.data, np.uint16).byteswap()
    message.data, message.is_bigendian = array("B", swapped.tobytes()), 1
    np.testing.assert_array_equal(rgb_from_image(message), expected(rgb, "mono16"))


@pytest.mark.parametrize("extension", [".jpg", ".png"])
@pytest.mark.parametrize("grey", [False, True])
def test_compressed(rgb: np.ndarray, extension: str, grey: bool) -> None:
    picture = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) if grey else rgb[:, :, ::-1]
    data = cv2.imencode(extension, picture, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    message = CompressedImage(format=f"rgb8; {extension[1:]} compressed bgr8")
    message.data = array("B", data)
    result = encodings.rgb_from_message(message)
    wanted = expected(rgb, "mono8") if grey else rgb
    assert np.abs(result.astype(int) - wanted).max() <= (0 if extension == ".png" else 12)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"width": 0}, "size"),
        ({"height": 0}, "size"),
        ({"data": array("B", bytes(HEIGHT * WIDTH * 3 - 1))}, "size"),
        ({"data": array("B", bytes(HEIGHT * WIDTH * 3 + 1))}, "size"),
        ({"data": array("B")}, "size"),
        ({"step": 0}, "size"),
        ({"width": 2**32 - 1, "height": 2**32 - 1, "step": 2**32 - 1}, "size"),
        ({"encoding": ""}, "encoding"),
        ({"encoding": "x" * 10_000}, "encoding"),
        ({"encoding": "RGB8"}, "encoding"),
        ({"encoding": "32FC1"}, "depth"),
        ({"encoding": "16SC1"}, "depth"),
        ({"encoding": "16UC1"}, "depth"),
    ],
)
def test_messages_that_lie(rgb: np.ndarray, changes: dict[str, Any], kind: str) -> None:
    message = as_message(rgb, "rgb8")
    for name, value in changes.items():
        setattr(message, name, value)
    with pytest.raises(ImageMessageError) as error:
        rgb_from_image(message)
    assert error.value.kind == kind
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("encoding", ["nv12", "nv21", "yuv422", "yuyv"])
def test_odd_sizes_that_an_encoding_does_not_allow(encoding: str) -> None:
    message = Image(width=5, height=3, step=10, encoding=encoding, data=array("B", bytes(30)))
    with pytest.raises(ImageMessageError) as error:
        rgb_from_image(message)
    assert error.value.kind == "size"


@pytest.mark.parametrize("encoding", [e for e in ENCODINGS if not e.startswith(("nv", "y", "uy"))])
def test_one_pixel(encoding: str) -> None:
    size = {"rgb8": 3, "bgr8": 3, "8UC3": 3, "rgba8": 4, "bgra8": 4, "8UC4": 4, "mono16": 2}
    step = size.get(encoding, 1)
    message = Image(width=1, height=1, step=step, encoding=encoding, data=array("B", bytes(step)))
    try:
        assert rgb_from_image(message).shape == (1, 1, 3)
    except ImageMessageError as error:  # a mosaic has at least four pixels
        assert encoding.startswith("bayer") and error.kind == "size"


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xe0 no picture", bytes(1000)])
def test_bytes_that_are_no_picture(data: bytes) -> None:
    message = CompressedImage(format="jpeg", data=array("B", data))
    with pytest.raises(ImageMessageError) as error:
        encodings.rgb_from_message(message)
    assert error.value.kind == "decode"


@pytest.mark.parametrize(
    "form", ["16UC1; compressedDepth png", "16UC1; png compressed", "32FC1; tiff compressed "]
)
def test_compressed_depth_is_refused(form: str) -> None:
    depth = cv2.imencode(".png", np.full((8, 8), 900, np.uint16))[1].tobytes()
    message = CompressedImage(format=form, data=array("B", depth))
    with pytest.raises(ImageMessageError) as error:
        encodings.rgb_from_message(message)
    assert error.value.kind == "depth"


@pytest.mark.parametrize("encoding", ["bayer_rggb8", "bayer_gbrg8", "bayer_grbg16"])
@pytest.mark.parametrize("extension", [".png", ".jpg"])
def test_compressed_mosaics_get_their_colours(rgb, encoding: str, extension: str) -> None:
    mosaic = _bayer(rgb, encoding[6:10])
    if encoding.endswith("16") and extension == ".png":
        mosaic = mosaic.astype(np.uint16) * 257
    data = cv2.imencode(extension, mosaic, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    message = CompressedImage(format=f"{encoding}; {extension[1:]} compressed ")
    message.data = array("B", data)
    error = np.abs(encodings.rgb_from_message(message).astype(int) - rgb)
    assert error[2:-2, 2:-2].max() <= (6 if extension == ".png" else 12)


def test_a_mosaic_that_was_compressed_as_colours_is_left_as_it_is(rgb) -> None:
    data = cv2.imencode(".png", rgb[:, :, ::-1])[1].tobytes()
    message = CompressedImage(format="bayer_rggb8; png compressed bgr8", data=array("B", data))
    np.testing.assert_array_equal(encodings.rgb_from_message(message), rgb)


def test_12_bit_values_in_a_16_bit_image_are_not_black(rgb: np.ndarray) -> None:
    message = as_message(rgb, "mono16")
    values = np.frombuffer(message.data, np.uint16) >> 4
    assert values.max() > 255
    message.data = array("B", values.tobytes())
    np.testing.assert_array_equal(rgb_from_image(message), expected(rgb, "mono16"))


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(ENCODINGS + ("32FC1", "junk")),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 40),
    st.binary(max_size=400),
)
def test_any_message_gives_an_image_or_an_image_error(
    encoding: str, width: int, height: int, step: int, data: bytes
) -> None:
    message = Image(width=width, height=height, step=step, encoding=encoding, data=array("B", data))
    try:
        result = rgb_from_image(message)
    except ImageMessageError as error:
        assert error.kind in ("size", "encoding", "depth") and str(error)
    else:
        assert result.shape == (height, width, 3) and result.dtype == np.uint8


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_image_message_carries_header_and_pixels(dtype: type) -> None:
    pixels = np.arange(12, dtype=dtype).reshape(3, 4)
    header = Header(frame_id="camera")
    header.stamp.sec = 7
    message = image_message(pixels[:, ::2], "mono8" if dtype == np.uint8 else "mono16", header)
    assert (message.height, message.width) == (3, 2)
    assert message.step == 2 * np.dtype(dtype).itemsize
    assert message.header == header
    np.testing.assert_array_equal(np.frombuffer(message.data, dtype).reshape(3, 2), pixels[:, ::2])


def test_large_pictures_become_messages_in_parts() -> None:
    parts = 2.5 * conversions._PART
    pixels = np.random.default_rng(0).integers(0, 256, (int(parts) // 1000, 1000), np.uint8)
    message = image_message(pixels, "mono8")
    assert isinstance(message.data, array) and message.data.tobytes() == pixels.tobytes()


def test_confidence_covers_all_grey_levels() -> None:
    pixels = conversions.confidence_pixels(np.array([[0.0, 0.5, 1.0]], np.float32))
    assert pixels.tolist() == [[0, 128, 255]] and pixels.dtype == np.uint8


def test_libraries_see_messages_without_padding(rgb: np.ndarray) -> None:
    def imgmsg_to_cv2(message: Image, desired_encoding: str) -> np.ndarray:
        """Stands in for cv_bridge's, which exists on machines with ROS only."""
        assert (desired_encoding, message.step) == ("rgb8", WIDTH * 2)
        assert message.encoding == "yuv422"
        return rgb

    pixels = np.zeros((HEIGHT, WIDTH + 4, 2), np.uint8)[:, :WIDTH]
    assert encodings._converter(imgmsg_to_cv2)(pixels, "yuv422") is rgb
