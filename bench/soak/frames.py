# SPDX-License-Identifier: Apache-2.0
"""Camera frames of the soak: every encoding, and every kind of the table of bad input.

A frame says in its frame_id what its answer has to look like; so whoever sees a mask can check it
without knowing what was sent.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from std_msgs.msg import Header

HUGE = (6000, 8000)  # rows, columns
_OLD = 5 * 10**9  # nanoseconds that a stamp goes back


@dataclass(frozen=True)
class Kind:
    """A kind of frame.

    Attributes:
        name: also its name in reports.
        answered: whether the node has to answer it with a mask if it takes it.
        weight: how often it comes, relative to the others; good frames share 100.
        stamp: "now", "zero" or "old".
    """

    name: str
    answered: bool
    weight: float = 1.0
    stamp: str = "now"


GOOD = Kind("good", True, 100.0)
# By the topic's message type. A huge frame is rare: it takes seconds.
RAW_KINDS = (
    GOOD,
    Kind("padded", True, 20.0),
    Kind("zero_stamp", True, stamp="zero"),
    Kind("old_stamp", True, stamp="old"),
    Kind("one_pixel", True),
    Kind("no_width", False),
    Kind("no_height", False),
    Kind("short", False),
    Kind("long", False),
    Kind("small_step", False),
    Kind("huge_numbers", False),
    Kind("unknown_encoding", False),
    Kind("depth", False),
)
COMPRESSED_KINDS = (
    GOOD,
    Kind("png", True, 10.0),
    Kind("zero_stamp", True, stamp="zero"),
    Kind("old_stamp", True, stamp="old"),
    Kind("one_pixel", True),
    Kind("huge", True, 0.05),
    Kind("garbage", False),
    Kind("headless", False),
    Kind("empty", False),
    Kind("compressed_depth", False),
)
KINDS = {kind.name: kind for kind in (*RAW_KINDS, *COMPRESSED_KINDS)}


@dataclass(frozen=True)
class Tag:
    """What a frame's frame_id says.

    Attributes:
        camera: name of the camera.
        number: counts the camera's frames.
        kind: name of the `Kind`.
        stamp: nanoseconds.
        height, width: of the picture, and so of its mask.
    """

    camera: str
    number: int
    kind: str
    stamp: int
    height: int
    width: int

    def text(self) -> str:
        """As a frame_id."""
        fields = (self.camera, self.number, self.kind, self.stamp, self.height, self.width)
        return "|".join(str(field) for field in fields)

    @classmethod
    def parse(cls, text: str) -> Tag:
        """From a frame_id; raises ValueError for one that is none of the soak's."""
        camera, number, kind, stamp, height, width = text.split("|")
        return cls(camera, int(number), kind, int(stamp), int(height), int(width))


class Schedule:
    """The kinds of one camera's frames: first each kind once, between good ones, then at random.

    The first part makes sure that nothing is met for the first time after the warm-up.
    """

    def __init__(self, kinds: tuple[Kind, ...], rng: random.Random) -> None:
        self._kinds = kinds
        self._rng = rng
        self._first = [kind for each in kinds for kind in (GOOD, each, GOOD)]

    @property
    def warming_up(self) -> bool:
        """Whether the first part is not over."""
        return bool(self._first)

    def next(self) -> Kind:
        """The next frame's kind."""
        if self._first:
            return self._first.pop(0)
        weights = [kind.weight for kind in self._kinds]
        return self._rng.choices(self._kinds, weights)[0]


class RawFrames:
    """Messages of a raw camera in every encoding that the node reads.

    Args:
        size: (height, width), both even.
        rng: chooses encodings and makes the pixels.
    """

    def __init__(self, size: tuple[int, int], rng: random.Random) -> None:
        from dinoiser_ros.messages.decode import ENCODINGS

        self.size = size
        self._rng = rng
        self._encodings = ENCODINGS
        # Noise for the largest encoding (four bytes a pixel), and rows a little longer than that.
        generator = np.random.default_rng(rng.randrange(2**32))
        self._noise = generator.integers(0, 256, size[0] * (size[1] * 4 + 64), np.uint8)
        self._data: dict[int, array] = {}  # by number of bytes

    def size_of(self, kind: Kind) -> tuple[int, int]:
        """(height, width) that the mask of a frame has."""
        return (1, 1) if kind.name == "one_pixel" else self.size

    def message(self, kind: Kind, header: Header) -> Any:
        """A sensor_msgs/Image of a kind."""
        plain = kind.name == "one_pixel"
        encoding = "rgb8" if plain else self._rng.choice(self._encodings)
        message = self._image(encoding, self.size_of(kind), 16 if kind.name == "padded" else 0)
        message.header = header
        _RAW_FAULTS.get(kind.name, _leave)(message)
        return message

    def _image(self, encoding: str, size: tuple[int, int], padding: int) -> Any:
        from sensor_msgs.msg import Image

        height, width = size
        row = width * _bytes_per_pixel(encoding) + padding
        rows = height * 3 // 2 if encoding in ("nv12", "nv21") else height
        # One array serves all frames of a size: nothing is copied before the transport.
        size_bytes = row * rows
        if size_bytes not in self._data:
            self._data[size_bytes] = _bytes(self._noise[:size_bytes])
        big = int(encoding in ("mono16", "16UC1") and self._rng.random() < 0.5)
        message = Image(height=height, width=width, encoding=encoding, is_bigendian=big, step=row)
        message.data = self._data[size_bytes]
        return message


class CompressedFrames:
    """Messages of a compressed camera; arguments as for `RawFrames`."""

    def __init__(self, size: tuple[int, int], rng: random.Random) -> None:
        import cv2

        self.size = size
        generator = np.random.default_rng(rng.randrange(2**32))
        small = generator.integers(0, 256, (6, 8, 3), np.uint8)
        picture = cv2.resize(small, size[::-1], interpolation=cv2.INTER_CUBIC)
        grey = np.full(HUGE, 128, np.uint8)
        jpeg = cv2.imencode(".jpg", picture)[1]
        pictures = {
            "good": ("jpeg", jpeg),
            "png": ("png", cv2.imencode(".png", picture)[1]),
            "one_pixel": ("jpeg", cv2.imencode(".jpg", picture[:1, :1])[1]),
            "huge": ("jpeg", cv2.imencode(".jpg", grey)[1]),
            "garbage": ("jpeg", generator.integers(0, 256, 5000, np.uint8)),
            "headless": ("jpeg", jpeg[200:]),
            "empty": ("jpeg", jpeg[:0]),
            "compressed_depth": ("16UC1; compressedDepth png", jpeg),
        }
        self._data = {name: (text, _bytes(data)) for name, (text, data) in pictures.items()}

    def size_of(self, kind: Kind) -> tuple[int, int]:
        """(height, width) that the mask of a frame has."""
        return {"one_pixel": (1, 1), "huge": HUGE}.get(kind.name, self.size)

    def message(self, kind: Kind, header: Header) -> Any:
        """A sensor_msgs/CompressedImage of a kind."""
        from sensor_msgs.msg import CompressedImage

        text, data = self._data.get(kind.name, self._data["good"])
        return CompressedImage(header=header, format=text, data=data)


def stamp_of(kind: Kind, now: int) -> int:
    """The stamp of a frame in nanoseconds, of one that is made `now`."""
    return {"now": now, "zero": 0, "old": now - _OLD}[kind.stamp]


def _set(**fields: Any) -> Callable[[Any], None]:
    def change(message: Any) -> None:
        for name, value in fields.items():
            setattr(message, name, value)

    return change


def _leave(message: Any) -> None:
    """A good frame stays as it is."""


def _short(message: Any) -> None:
    message.data = message.data[:-1]


def _long(message: Any) -> None:
    message.data = message.data + array("B", b"x")


_RAW_FAULTS: dict[str, Callable[[Any], None]] = {
    "no_width": _set(width=0),
    "no_height": _set(height=0),
    "short": _short,
    "long": _long,
    "small_step": _set(step=7),
    "huge_numbers": _set(width=2**32 - 1, height=2**32 - 1),
    "unknown_encoding": _set(encoding="hologram"),
    "depth": _set(encoding="32FC1"),
}


def _bytes_per_pixel(encoding: str) -> int:
    if encoding.startswith(("rgba", "bgra")):
        return 4
    if encoding in ("rgb8", "bgr8", "8UC3"):
        return 3
    if encoding in ("mono16", "16UC1", "uyvy", "yuyv") or encoding.startswith("yuv422"):
        return 2
    return 1


def _bytes(values: np.ndarray) -> array:
    """Rclpy takes an array('B') over as it is; any other sequence it checks byte by byte."""
    data = array("B")
    data.frombytes(np.ascontiguousarray(values).tobytes())
    return data
