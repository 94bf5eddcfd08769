# SPDX-License-Identifier: Apache-2.0
"""Camera messages to RGB arrays, whoever made the messages: rclpy or, from a bag, rosbags.

A message is not trusted: its sizes are checked against its bytes before a pixel is touched, and
whatever cannot be read raises one `ImageMessageError` whose `kind` is what diagnostics count.
"""

from __future__ import annotations

import contextlib
from functools import lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from dinoiser_ros.errors import ImageMessageError, PictureError
from dinoiser_ros.pictures.decode import decode_picture
from dinoiser_ros.pictures.levels import to_8_bits
from dinoiser_ros.pictures.limits import MAX_PIXELS

from .encode import image_fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from sensor_msgs.msg import CompressedImage, Image

# Encodings whose pixels are already colours or greys: dtype and the order in which the channels
# give RGB.
_PLAIN: dict[str, tuple[type, int, tuple[int, int, int]]] = {
    "rgb8": (np.uint8, 3, (0, 1, 2)),
    "bgr8": (np.uint8, 3, (2, 1, 0)),
    "rgba8": (np.uint8, 4, (0, 1, 2)),
    "bgra8": (np.uint8, 4, (2, 1, 0)),
    "mono8": (np.uint8, 1, (0, 0, 0)),
    "mono16": (np.uint16, 1, (0, 0, 0)),
    "8UC1": (np.uint8, 1, (0, 0, 0)),
    # Nothing says what these channels are: the order is that of OpenCV and RViz.
    "8UC3": (np.uint8, 3, (2, 1, 0)),
    "8UC4": (np.uint8, 4, (2, 1, 0)),
}
# Encodings that need arithmetic (bytes per pixel), left to cv_bridge or rosbags-image. The names
# on the right are the ones that every version of both knows.
_CODED: dict[str, tuple[int, str]] = {
    "bayer_rggb8": (1, "bayer_rggb8"),
    "bayer_bggr8": (1, "bayer_bggr8"),
    "bayer_gbrg8": (1, "bayer_gbrg8"),
    "bayer_grbg8": (1, "bayer_grbg8"),
    "yuv422": (2, "yuv422"),
    "uyvy": (2, "yuv422"),
    "yuv422_yuy2": (2, "yuv422_yuy2"),
    "yuyv": (2, "yuv422_yuy2"),
}
# A full plane of luma, then half as many rows of interleaved chroma; cv_bridge knows none or one
# of them.
_PLANAR = {"nv12": "COLOR_YUV2RGB_NV12", "nv21": "COLOR_YUV2RGB_NV21"}

# Beginnings of the encodings of distances and other measurements.
_MEASURED = ("16UC1", "32F", "64F", "16S", "32S")
_BAYER_8 = {
    f"bayer_{pattern}16": f"bayer_{pattern}8" for pattern in ("rggb", "bggr", "gbrg", "grbg")
}

ENCODINGS: tuple[str, ...] = (*_PLAIN, *_CODED, *_PLANAR)
"""The encodings of sensor_msgs/Image that `rgb_from_image` reads."""


def preload() -> None:
    """Import the libraries that read messages, so that the first frame need not wait for it.

    One that is missing is not needed by every camera: it is reported with the first message.
    """
    with contextlib.suppress(ImportError):
        import cv2  # noqa: F401
    with contextlib.suppress(ImageMessageError):
        _coded_to_rgb()


def rgb_from_message(message: Image | CompressedImage) -> np.ndarray:
    """(H, W, 3) uint8 RGB of either message type; raises `ImageMessageError`."""
    if hasattr(message, "encoding"):
        return rgb_from_image(message)
    return rgb_from_compressed(message)


def rgb_from_image(message: Image) -> np.ndarray:
    """Read a sensor_msgs/Image of any of `ENCODINGS`, with any row padding and byte order.

    Returns:
        (H, W, 3) uint8 RGB, H and W the message's; may share the message's memory (read only).

    Raises:
        ImageMessageError: sizes that do not fit the data, an unknown or depth-like encoding, or
            pixels that the encoding does not allow (an odd width in a 4:2:2 encoding).
    """
    encoding = message.encoding
    if encoding in _PLAIN:
        return _plain_to_rgb(message, *_PLAIN[encoding])
    if encoding in _CODED:
        pixel_bytes, name = _CODED[encoding]
        pixels = rows_of_bytes(message, message.height, message.width * pixel_bytes)
        if pixel_bytes == 2:
            pixels = pixels.reshape(message.height, message.width, 2)
        return _checked(
            encoding, message.width, message.height, lambda: _coded_to_rgb()(pixels, name)
        )
    if encoding in _PLANAR:
        return _planar_to_rgb(message)
    if is_depth(encoding):
        raise _depth_error(f"encoding '{encoding[:40]}'")
    raise ImageMessageError(
        "encoding",
        f"encoding '{encoding[:40]}' is not known: publish one of {', '.join(ENCODINGS)}",
    )


def is_depth(encoding: str) -> bool:
    """Whether an encoding, or the format of a compressed image, is one of depth images."""
    return encoding.startswith(_MEASURED) or "compressedDepth" in encoding


def _depth_error(what: str) -> ImageMessageError:
    return ImageMessageError(
        "depth",
        f"{what} holds depth or measurements, not a picture: give the node the camera's colour "
        "image topic",
    )


def rgb_from_compressed(message: CompressedImage) -> np.ndarray:
    """Decode a sensor_msgs/CompressedImage (JPEG, PNG and what else `decode_picture` reads).

    `format` may begin with the encoding of the image before it was compressed, as
    compressed_image_transport has it: "bayer_rggb8; jpeg compressed" is a mosaic, to which its
    colours are given here.

    Returns:
        (H, W, 3) uint8 RGB in the sensor's geometry: an EXIF rotation is not applied, since the
        mask has to fit the camera's calibration.

    Raises:
        ImageMessageError: bytes that are not a picture, are damaged or too large, or a compressed
            depth image.
    """
    if is_depth(message.format):
        raise _depth_error(f"compressed format '{message.format[:40]}'")
    encoding = message.format.partition(";")[0].strip()
    encoding = _BAYER_8.get(encoding, encoding)
    mosaic = encoding.startswith("bayer_")
    try:
        pixels = decode_picture(bytes(message.data), grey=mosaic)
    except PictureError as error:
        raise ImageMessageError(
            error.kind,
            f"{len(message.data)} bytes of format '{message.format[:40]}' cannot be used, {error}: "
            "check the camera's compressed image transport",
        ) from error
    if not mosaic or pixels.ndim == 3:  # some drivers compress the colours of a mosaic
        return pixels
    if encoding not in _CODED:
        raise ImageMessageError(
            "encoding", f"the mosaic '{encoding[:40]}' is not known: publish it as colours"
        )
    height, width = pixels.shape
    return _checked(encoding, width, height, lambda: _coded_to_rgb()(pixels, encoding))


def _plain_to_rgb(
    message: Image, dtype: type, channels: int, order: tuple[int, int, int]
) -> np.ndarray:
    itemsize = np.dtype(dtype).itemsize
    pixels = rows_of_bytes(message, message.height, message.width * channels * itemsize)
    if itemsize == 2:
        wide = np.ascontiguousarray(pixels).view(">u2" if message.is_bigendian else "<u2")
        pixels = to_8_bits(wide)
    pixels = pixels.reshape(message.height, message.width, channels)
    if order == (0, 1, 2):
        return pixels[:, :, :3]
    if order == (2, 1, 0):
        return _swapped(pixels)
    return np.repeat(pixels, 3, axis=2)


def _swapped(pixels: np.ndarray) -> np.ndarray:
    """BGR(A) to RGB; OpenCV's copy is several times faster than a reversed view made contiguous."""
    import cv2

    code = cv2.COLOR_BGRA2RGB if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(np.ascontiguousarray(pixels), code)


def _planar_to_rgb(message: Image) -> np.ndarray:
    import cv2

    if message.height % 2 or message.width % 2:
        raise ImageMessageError(
            "size",
            f"a {message.width}x{message.height} image cannot be '{message.encoding}': "
            "width and height have to be even",
        )
    planes = rows_of_bytes(message, message.height * 3 // 2, message.width)
    code = getattr(cv2, _PLANAR[message.encoding])
    return _checked(
        message.encoding,
        message.width,
        message.height,
        lambda: cv2.cvtColor(np.ascontiguousarray(planes), code),
    )


def rows_of_bytes(message: Image, rows: int, row_bytes: int) -> np.ndarray:
    """(rows, row_bytes) uint8 view of the message's data without its row padding."""
    width, height, step = message.width, message.height, message.step
    if width == 0 or height == 0:
        raise ImageMessageError(
            "size", f"the image is empty ({width}x{height}): check the camera's driver"
        )
    if width * height > MAX_PIXELS:
        raise ImageMessageError(
            "size",
            f"the image has {width}x{height} pixels, more than {MAX_PIXELS}: publish a smaller one",
        )
    if step < row_bytes:
        raise ImageMessageError(
            "size",
            f"step {step} is less than the {row_bytes} bytes of a '{message.encoding}' row of "
            f"{width} pixels: check the camera's driver",
        )
    data = np.frombuffer(message.data, np.uint8)
    if data.size != step * rows:
        raise ImageMessageError(
            "size",
            f"the data has {data.size} bytes where {step} x {rows} = {step * rows} are needed "
            f"({width}x{height}, '{message.encoding}'): check the camera's driver",
        )
    return data.reshape(rows, step)[:, :row_bytes]


def _checked(
    encoding: str, width: int, height: int, convert: Callable[[], np.ndarray]
) -> np.ndarray:
    """Run a conversion of OpenCV's, whose own error messages help nobody."""
    import cv2

    try:
        return convert()
    except ImageMessageError:
        raise
    except (cv2.error, ValueError, RuntimeError) as error:
        raise ImageMessageError(
            "size",
            f"a {width}x{height} image cannot be '{encoding}': "
            "check the encoding that the camera's driver states",
        ) from error


@lru_cache(maxsize=1)
def _coded_to_rgb() -> Callable[[np.ndarray, str], np.ndarray]:
    """The function (pixels, encoding) -> RGB of the library that this machine has."""
    try:
        from cv_bridge import CvBridge

        return _converter(CvBridge().imgmsg_to_cv2)
    except (ImportError, AttributeError):  # AttributeError: a cv_bridge built for another numpy
        pass
    try:
        from rosbags.image import image_to_cvimage

        return _converter(image_to_cvimage)
    except ImportError as error:
        raise ImageMessageError(
            "encoding",
            "bayer and yuv images need cv_bridge (ROS package) or rosbags-image (pip): install one",
        ) from error


def _converter(
    from_message: Callable[[Image, str], np.ndarray],
) -> Callable[[np.ndarray, str], np.ndarray]:
    """A library's function of a message as one of pixels.

    The message that it sees is made here, without row padding: rosbags-image ignores `step`.
    """

    def convert(pixels: np.ndarray, encoding: str) -> np.ndarray:
        pixels = np.ascontiguousarray(pixels)
        data = pixels.reshape(-1).view(np.uint8)
        message = SimpleNamespace(**image_fields(pixels, encoding), data=data)
        return from_message(message, "rgb8")

    return convert
