# SPDX-License-Identifier: Apache-2.0
"""Depth messages of every kind to metres, and what is refused by name."""

from __future__ import annotations

import struct
from array import array
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoiser_ros.errors import DepthMessageError
from dinoiser_ros.messages.depth import check_depth, metres_from_message

DEPTH_MAX, QUANTIZATION = 10.0, 100.0  # defaults of compressed_depth_image_transport


def image(pixels: np.ndarray, encoding: str, padding: int = 0, big: bool = False) -> Any:
    """A sensor_msgs/Image, with bytes after each row if asked for."""
    rows = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<"))
    rows = np.ascontiguousarray(rows).view(np.uint8).reshape(len(pixels), -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    return SimpleNamespace(
        encoding=encoding,
        height=len(pixels),
        width=pixels.shape[1],
        step=rows.shape[1],
        is_bigendian=int(big),
        data=array("B", rows.tobytes()),
    )


def compressed(pixels: np.ndarray, format_: str, a: float = 0.0, b: float = 0.0) -> Any:
    """What compressed_depth_image_transport publishes: a header of 12 bytes and a PNG."""
    png = cv2.imencode(".png", pixels)[1].tobytes()
    return SimpleNamespace(format=format_, data=array("B", struct.pack("<iff", 0, a, b) + png))


def inverse_depth(metres: np.ndarray, format_: str = "32FC1; compressedDepth png") -> Any:
    """As the transport quantises float depth, by its formulas."""
    a = QUANTIZATION * (QUANTIZATION + 1)
    b = 1 - a / DEPTH_MAX
    near = np.isfinite(metres) & (metres < DEPTH_MAX)
    values = np.where(near, a / np.where(near, metres, 1) + b, 0).astype(np.uint16)
    return compressed(values, format_, a, b)


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 5), st.booleans(), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_millimetres_and_metres_say_the_same(
    height: int, width: int, padding: int, big: bool, seed: int
) -> None:
    millimetres = np.random.default_rng(seed).integers(0, 9000, (height, width)).astype(np.uint16)
    metres = np.where(millimetres, millimetres / 1000, np.nan).astype(np.float32)
    messages = [
        image(millimetres, "16UC1", padding, big),
        image(millimetres, "mono16", padding, big),
        image(metres, "32FC1", padding, big),
        compressed(millimetres, "16UC1; compressedDepth png"),
        compressed(millimetres, "16UC1; compressedDepth"),
        compressed(millimetres, "16UC1"),
    ]
    for message in messages:
        check_depth(message)
        found = metres_from_message(message)
        assert found.dtype == np.float32 and found.flags.writeable and found.flags.c_contiguous
        np.testing.assert_allclose(found, metres, rtol=1e-6)


def test_what_is_no_distance_is_missing() -> None:
    pixels = np.array([[np.nan, np.inf, -np.inf, 0.0, -1.0, 2.5]], np.float32)
    found = metres_from_message(image(pixels, "32FC1"))
    np.testing.assert_array_equal(found, [[np.nan] * 5 + [2.5]])


def test_quantised_inverse_depth() -> None:
    metres = np.array([[0.5, 1.0, 2.0, 4.0, 9.9, np.nan, 12.0]], np.float32)
    found = metres_from_message(inverse_depth(metres))
    # One step of the quantisation at z metres is z * z / a.
    steps = metres[0, :5] ** 2 / (QUANTIZATION * (QUANTIZATION + 1))
    assert (np.abs(found[0, :5] - metres[0, :5]) <= steps * 1.01).all()
    assert np.isnan(found[0, 5:]).all()


GOOD = np.full((4, 6), 1500, np.uint16)


def cut(message: Any, size: int) -> Any:
    message.data = message.data[:size]
    return message


def changed(message: Any, **fields: Any) -> Any:
    vars(message).update(fields)
    return message


@pytest.mark.parametrize(
    ("message", "kind", "words"),
    [
        (image(GOOD, "rgb8"), "depth_encoding", "16UC1, mono16, 32FC1"),
        (image(GOOD, "64FC1"), "depth_encoding", "'64FC1'"),
        (changed(image(GOOD, "16UC1"), width=0), "depth_size", "empty"),
        (changed(image(GOOD, "16UC1"), height=9), "depth_size", "bytes"),
        (cut(image(GOOD, "16UC1"), 5), "depth_size", "bytes"),
        (changed(image(GOOD, "16UC1"), width=2**31, height=2**31), "depth_size", "pixels"),
        (compressed(GOOD, "16UC1; compressedDepth rvl"), "depth_encoding", "rvl"),
        (compressed(GOOD, "rgb8; jpeg compressed bgr8"), "depth_encoding", "png"),
        (cut(compressed(GOOD, "16UC1; compressedDepth png"), 10), "depth_decode", "no PNG"),
        (cut(compressed(GOOD, "16UC1; compressedDepth png"), 0), "depth_decode", "no PNG"),
    ],
)
def test_bad_messages_are_refused_before_they_are_kept(message: Any, kind: str, words: str) -> None:
    for function in (check_depth, metres_from_message):
        with pytest.raises(DepthMessageError, match=words) as caught:
            function(message)
        assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("message", "kind", "words"),
    [
        (image(np.full((9, 9), 1500, np.float32), "32FC1"), "depth_unit", "1500 m"),
        (cut(compressed(GOOD, "16UC1; compressedDepth png"), 60), "depth_decode", "damaged"),
        (compressed(GOOD.astype(np.uint8), "16UC1; compressedDepth png"), "depth_decode", "16-bit"),
        (compressed(GOOD, "32FC1; compressedDepth png", 0.0, 1.0), "depth_decode", "quantisation"),
        (
            compressed(GOOD, "32FC1; compressedDepth png", float("nan"), 1.0),
            "depth_decode",
            "quantisation",
        ),
    ],
)
def test_bad_content_is_refused(message: Any, kind: str, words: str) -> None:
    with pytest.raises(DepthMessageError, match=words) as caught:
        metres_from_message(message)
    assert caught.value.kind == kind


@given(st.binary(max_size=200), st.sampled_from(["16UC1; compressedDepth png", "32FC1", "", ";"]))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_read_or_refused(data: bytes, format_: str) -> None:
    start = struct.pack("<iff", 0, 1.0, 1.0) + b"\x89PNG\r\n\x1a\n"
    for content in (data, start + data):
        message = SimpleNamespace(format=format_, data=array("B", content))
        with pytest.raises(DepthMessageError):
            metres_from_message(message)
