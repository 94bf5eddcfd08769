# SPDX-License-Identifier: Apache-2.0
"""Depth messages to metres: sensor_msgs/Image and image_transport's compressedDepth.

REP 118: 16UC1 is in millimetres and 0 where nothing was measured; 32FC1 is in metres and NaN or
infinite there. Depth is along the optical axis, not along the ray.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from dinoiser_ros.errors import DepthMessageError, ImageMessageError, PictureError
from dinoiser_ros.pictures.integrity import check_whole
from dinoiser_ros.pictures.limits import check_size
from dinoiser_ros.utils.sentences import first_line

from .decode import rows_of_bytes

if TYPE_CHECKING:
    from sensor_msgs.msg import CompressedImage, Image

DEPTH_ENCODINGS = ("16UC1", "mono16", "32FC1")
"""The encodings of depth images that are read; mono16 is taken for 16UC1, as depth_image_proc does.
"""
_HEADER = struct.Struct("<iff")  # of compressedDepth: its kind, and two numbers of the quantisation
_PNG = b"\x89PNG\r\n\x1a\n"
_NO_ROOM = 300.0  # metres: a median above it is one of millimetres


def check_depth(message: Image | CompressedImage) -> None:
    """Raise `DepthMessageError` for a message of which no depth can come; decodes nothing."""
    if hasattr(message, "encoding"):
        _image_rows(message)
    else:
        _png_of(message)


def metres_from_message(message: Image | CompressedImage) -> np.ndarray:
    """Read a depth message.

    Returns:
        (H, W) float32 metres along the optical axis, NaN where nothing was measured; its own
        memory.

    Raises:
        DepthMessageError: sizes that do not fit the data, an encoding that is no depth, damaged
            data, or metres that are millimetres.
    """
    if hasattr(message, "encoding"):
        return _from_image(message)
    return _from_compressed(message)


def _from_image(message: Image) -> np.ndarray:
    rows = np.ascontiguousarray(_image_rows(message))
    order = ">" if message.is_bigendian else "<"
    if message.encoding == "32FC1":
        return _checked_metres(rows.view(f"{order}f4").astype(np.float32))
    return _from_millimetres(rows.view(f"{order}u2"))


def _image_rows(message: Image) -> np.ndarray:
    """(H, bytes of a row) uint8, the row padding removed."""
    encoding = message.encoding
    if encoding not in DEPTH_ENCODINGS:
        raise DepthMessageError(
            "depth_encoding",
            f"encoding '{encoding[:40]}' is no depth: publish one of {', '.join(DEPTH_ENCODINGS)}",
        )
    try:
        return rows_of_bytes(message, message.height, message.width * (4 if "F" in encoding else 2))
    except ImageMessageError as error:
        raise DepthMessageError("depth_size", str(error)) from error


def _from_millimetres(values: np.ndarray) -> np.ndarray:
    metres = values.astype(np.float32)
    metres[values == 0] = np.nan
    metres *= np.float32(1e-3)
    return metres


def _checked_metres(metres: np.ndarray) -> np.ndarray:
    """Metres with NaN for what is no distance; refuses those that are millimetres."""
    with np.errstate(invalid="ignore"):
        metres[~((metres > 0) & (metres < np.inf))] = np.nan
    some = metres[:: max(len(metres) // 32, 1), :: max(metres.shape[1] // 32, 1)]
    some = some[np.isfinite(some)]
    if len(some) and np.median(some) > _NO_ROOM:
        raise DepthMessageError(
            "depth_unit",
            f"the median of this 32FC1 depth is {np.median(some):.0f} m, so these are millimetres: "
            "publish metres, or millimetres as 16UC1",
        )
    return metres


def _png_of(message: CompressedImage) -> tuple[bool, float, float, bytes]:
    """Whether it is 32FC1, the two numbers of its quantisation, and its PNG file."""
    encoding, _, kind = (part.strip() for part in message.format.partition(";"))
    if encoding not in DEPTH_ENCODINGS or kind not in (
        "",
        "compressedDepth",
        "compressedDepth png",
    ):
        raise DepthMessageError(
            "depth_encoding",
            f"format '{message.format[:40]}' is not read: publish '16UC1; compressedDepth png' or "
            "'32FC1; compressedDepth png' (rvl is set by the parameter 'format' of the publisher)",
        )
    data = bytes(message.data)
    start = _HEADER.size
    if len(data) < start + 24 or not data.startswith(_PNG, start):
        raise DepthMessageError(
            "depth_decode",
            f"{len(data)} bytes of format '{message.format[:40]}' hold no PNG file after their "
            "header: check the camera's compressedDepth transport",
        )
    _, a, b = _HEADER.unpack_from(data)
    width, height = struct.unpack_from(">II", data, start + 16)
    try:
        check_size(width, height)
    except PictureError as error:
        raise DepthMessageError("depth_size", str(error)) from error
    return encoding == "32FC1", a, b, data[start:]


def _from_compressed(message: CompressedImage) -> np.ndarray:
    import cv2

    is_float, a, b, png = _png_of(message)
    try:
        check_whole(png)
        values = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    except (PictureError, cv2.error) as error:
        raise _undecodable(message, first_line(error)) from error
    if values is None or values.ndim != 2 or values.dtype != np.uint16:
        raise _undecodable(message, "its picture is not one of 16-bit grey")
    if not is_float:
        return _from_millimetres(values)
    if not (np.isfinite([a, b]).all() and a > 0):
        raise _undecodable(message, f"its quantisation ({a:g}, {b:g}) is impossible")
    with np.errstate(divide="ignore"):
        metres = np.float32(a) / (values.astype(np.float32) - np.float32(b))
    metres[values == 0] = np.nan
    return _checked_metres(metres)


def _undecodable(message: CompressedImage, reason: str) -> DepthMessageError:
    return DepthMessageError(
        "depth_decode",
        f"{len(message.data)} bytes of format '{message.format[:40]}' cannot be used, {reason}: "
        "check the camera's compressedDepth transport",
    )
