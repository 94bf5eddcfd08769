# SPDX-License-Identifier: Apache-2.0
"""One picture of a camera with what was found in it, and the message that viewers get of it.

The message is binary: four bytes with the length of a header (little endian), the header as JSON,
the picture as JPEG, and the class ids, deflated by zlib. It is made once, for all viewers.
"""

from __future__ import annotations

import io
import itertools
import json
import threading
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image

from dinoiser_ros.geometry.resampling import nearest_grid

MAX_SIDE = 1280  # px; larger pictures are sent reduced by a whole factor
JPEG_QUALITY = 80
_NUMBERS = itertools.count(1)
_NO_NAMES: Mapping[int, str] = MappingProxyType({})


class Frame:
    """A picture with its class ids.

    Args:
        camera: name of the camera.
        stamp: when it was taken, in seconds since 1970; 0 if that is unknown.
        load: gives the picture, (H, W, 3) uint8 RGB; called once, if anybody wants it. It may
            raise `DinoiserError`.
        labels: (h, w) class ids, uint8 or uint16, None if it was not segmented.
        confidence: (h, w) uint8, 0 to 255 for 0 to 1, or None.
        class_names: what the ids mean, by id.
        unlabeled: the id of no class.
        distance: gives the distance, in metres, at a place (x, y), 0 to 1 from the left and the
            upper edge; None where it is unknown.

    Attributes:
        number: no other frame of this process has it; of two, the later has the greater.
    """

    def __init__(
        self,
        camera: str,
        stamp: float,
        load: Callable[[], np.ndarray],
        labels: np.ndarray | None = None,
        confidence: np.ndarray | None = None,
        class_names: Mapping[int, str] = _NO_NAMES,
        unlabeled: int = 255,
        distance: Callable[[float, float], float | None] = lambda _x, _y: None,
    ) -> None:
        self.number = next(_NUMBERS)
        self.camera = camera
        self.stamp = stamp
        self.labels = labels
        self.confidence = confidence
        self.class_names = class_names
        self.unlabeled = unlabeled
        self.distance = distance
        self._load = load
        self._lock = threading.Lock()
        self._image: np.ndarray | None = None
        self._message: bytes | None = None

    @property
    def image(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB; raises `DinoiserError` if it cannot be read."""
        with self._lock:
            return self._picture()

    def message(self) -> bytes:
        """What viewers get; raises `DinoiserError` if the picture cannot be read."""
        with self._lock:
            if self._message is None:
                self._message = _encoded(self, self._picture())
            return self._message

    def name_of(self, class_id: int) -> str:
        """What an id means; its number, as long as that is not known."""
        return self.class_names.get(class_id, f"class {class_id}")

    def _picture(self) -> np.ndarray:
        if self._image is None:
            self._image = self._load()
        return self._image


def _encoded(frame: Frame, image: np.ndarray) -> bytes:
    height, width = image.shape[:2]
    factor = -(-max(height, width) // MAX_SIDE)
    picture = Image.fromarray(image)
    if factor > 1:
        picture = picture.reduce(factor)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY)
    jpeg = buffer.getvalue()
    header: dict[str, Any] = {
        "kind": "picture",
        "camera": frame.camera,
        "number": frame.number,
        "stamp": frame.stamp,
        "width": picture.width,
        "height": picture.height,
        "fullWidth": width,
        "fullHeight": height,
        "jpeg": len(jpeg),
        "wide": False,
        "unlabeled": frame.unlabeled,
        "classes": [],
    }
    deflated = b""
    if frame.labels is not None:
        labels = nearest_grid(frame.labels, (picture.height, picture.width))
        confidence = None
        if frame.confidence is not None:
            confidence = nearest_grid(frame.confidence, (picture.height, picture.width))
        wide = labels.dtype.itemsize > 1
        header["wide"] = wide
        header["classes"] = shares(frame, labels, confidence)
        deflated = zlib.compress(labels.astype("<u2" if wide else np.uint8).tobytes(), 1)
    return packed(header, jpeg + deflated)


def packed(header: dict[str, Any], content: bytes) -> bytes:
    """A header and what follows it as one binary message."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(4, "little") + text + content


def shares(
    frame: Frame, labels: np.ndarray, confidence: np.ndarray | None
) -> list[tuple[int, str, float, float | None]]:
    """Of each class in a picture its id, name, share of the area and mean confidence, 0 to 1.

    Args:
        frame: tells the names.
        labels: (H, W) its class ids.
        confidence: (H, W) 0 to 255, or None; then the mean confidences are None, too.
    """
    flat = labels.ravel()
    counts = np.bincount(flat)
    sums = None if confidence is None else np.bincount(flat, confidence.ravel())
    found = []
    for class_id in np.flatnonzero(counts).tolist():
        if class_id == frame.unlabeled:
            continue
        mean = None if sums is None else round(float(sums[class_id]) / counts[class_id] / 255, 4)
        share = round(float(counts[class_id]) / flat.size, 5)
        found.append((class_id, frame.name_of(class_id), share, mean))
    return found
