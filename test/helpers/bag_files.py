# SPDX-License-Identifier: Apache-2.0
"""Bags as tests want them, written with rosbags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags import rosbag2
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.typesys import Stores, get_typestore

from dinoiser_ros.media.bags.files import _qos
from dinoiser_ros.media.inputs import BAG, Input

HEIGHT, WIDTH, FRAMES, START = 32, 48, 2, 1_700_000_000_000_000_000
IMAGE, COMPRESSED, STRING = (
    "sensor_msgs/msg/Image",
    "sensor_msgs/msg/CompressedImage",
    "std_msgs/msg/String",
)
FRONT, REAR, DEPTH = "/front/image_raw", "/rear/image_raw/compressed", "/front/depth/image_rect"


def header(store: Any, number: int) -> Any:
    """A header; only that of ROS 1 counts."""
    stamp = store.types["builtin_interfaces/msg/Time"](sec=1600 + number, nanosec=7)
    kind = store.types["std_msgs/msg/Header"]
    more = {"seq": number} if "seq" in kind.__dataclass_fields__ else {}
    return kind(stamp=stamp, frame_id="optical", **more)


def pixels(number: int) -> np.ndarray:
    """(H, W, 3) uint8 RGB."""
    rng = np.random.default_rng(number)
    return cv2.resize(rng.integers(0, 256, (4, 6, 3), np.uint8), (WIDTH, HEIGHT))


def image(store: Any, number: int, encoding: str = "rgb8", data: Any = None, step: int = 3) -> Any:
    data = pixels(number).reshape(-1) if data is None else data
    return store.types[IMAGE](
        header=header(store, number), height=HEIGHT, width=WIDTH, encoding=encoding,
        is_bigendian=0, step=step * WIDTH, data=data,
    )  # fmt: skip


def compressed(store: Any, number: int, data: Any = None) -> Any:
    coded = cv2.imencode(".png", pixels(number)[:, :, ::-1])[1].reshape(-1)
    return store.types[COMPRESSED](
        header=header(store, number), format="png", data=coded if data is None else data
    )


def messages(store: Any, frames: int) -> list[tuple[str, str, int, Any]]:
    """Topic, type, time and message of everything that a test bag has."""
    text = store.types[STRING]
    found: list[tuple[str, str, int, Any]] = [("/chatter", STRING, START - 5, text(data="hello"))]
    for number in range(frames):
        time = START + number * 10**8
        depth = np.full(2 * HEIGHT * WIDTH, number, np.uint8)
        found += [
            (FRONT, IMAGE, time, image(store, number)),
            (REAR, COMPRESSED, time, compressed(store, number)),
            (DEPTH, IMAGE, time + 1, image(store, number, "16UC1", depth, 2)),
            ("/chatter", STRING, time + 2, text(data=f"frame {number}")),
        ]
    return found


def write_bag(
    path: Path,
    plugin: StoragePlugin = StoragePlugin.SQLITE3,
    compression: CompressionMode = CompressionMode.NONE,
    content: list[tuple[str, str, int, Any]] | None = None,
    store: Any = None,
) -> Input:
    """A bag of ROS 2; messages may be bytes."""
    store = store or get_typestore(Stores.ROS2_JAZZY)
    writer = rosbag2.Writer(path, version=9, storage_plugin=plugin)
    writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        connections: dict[str, Any] = {}
        for topic, kind, time, message in content or messages(store, FRAMES):
            if topic not in connections:
                qos = [_qos(reliable=True, latched=topic == "/chatter")]
                connections[topic] = writer.add_connection(
                    topic, kind, typestore=store, offered_qos_profiles=qos
                )
            raw = message if isinstance(message, bytes) else store.serialize_cdr(message, kind)
            writer.write(connections[topic], time, raw)
    return Input(path, BAG, path.name)
