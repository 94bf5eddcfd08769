# SPDX-License-Identifier: Apache-2.0
"""What Nav2's semantic segmentation costmap layer does with masks: a model of its rules.

Written from what the layer of github.com/ros-navigation/semantic_segmentation_layer (b269885) does,
as far as a mask's consumer matters: which messages it joins, what it refuses, what a tile remembers
and costs. The geometry is left out: a cloud says which tile each of its points lies in.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ros_helpers import pixels_of, stamp_of

SLOP = 100_000_000  # ns, the longest time between joined messages
DEPTH = 10  # messages of each topic that wait for the others, unless `sensor_data_depth` says more


@dataclass(frozen=True)
class Cloud:
    """An organised point cloud of one image.

    Attributes:
        stamp: in ns.
        tiles: (H, W) the tile that each point lies in.
    """

    stamp: int
    tiles: np.ndarray


class ApproximateTime:
    """Joins messages of several topics whose stamps are near each other, each at most once."""

    def __init__(self, topics: tuple[str, ...], depth: int) -> None:
        self._waiting: dict[str, deque[tuple[int, Any]]] = {
            topic: deque(maxlen=depth) for topic in topics
        }

    def add(self, topic: str, stamp: int, message: Any) -> list[tuple[Any, ...]]:
        """Add a message, the oldest of a full queue is lost; returns what can be joined now."""
        self._waiting[topic].append((stamp, message))
        joined = []
        queues = list(self._waiting.values())
        while all(queues):
            oldest = [queue[0][0] for queue in queues]
            pivot = max(oldest)
            if pivot - min(oldest) > SLOP:
                queues[oldest.index(min(oldest))].popleft()
                continue
            if any(queue[-1][0] < pivot for queue in queues):
                break  # a better one may still come
            nearest = [min(queue, key=lambda entry: abs(entry[0] - pivot)) for queue in queues]
            for queue, (stamp, _) in zip(queues, nearest, strict=True):
                while queue and queue[0][0] <= stamp:
                    queue.popleft()
            joined.append(tuple(message for _, message in nearest))
        return joined


@dataclass(frozen=True)
class ClassType:
    """The parameters of one class_type."""

    classes: tuple[str, ...]
    base_cost: int
    max_cost: int
    mark_confidence: int
    samples_to_max_cost: int
    dominant_priority: bool


@dataclass
class Tile:
    """What was seen in one tile: by class id, the stamps (ns) and confidences, oldest first."""

    seen: dict[int, deque[tuple[int, int]]] = field(default_factory=dict)
    dominant: int | None = None

    def add(self, number: int, confidence: int, stamp: int, priority: bool) -> None:
        """A class is dominant once it has priority or was seen more often than the one that is."""
        self.seen.setdefault(number, deque()).append((stamp, confidence))
        before = 0 if self.dominant is None else len(self.seen[self.dominant])
        if priority or len(self.seen[number]) > before:
            if self.dominant != number:
                self.seen = {number: self.seen[number]}
            self.dominant = number

    def forget(self, until: int) -> None:
        """Forget what was seen before a time."""
        for number in list(self.seen):
            while self.seen[number] and self.seen[number][0][0] < until:
                self.seen[number].popleft()
            if not self.seen[number]:
                del self.seen[number]
        if self.dominant not in self.seen:
            self.dominant = max(self.seen, key=lambda n: len(self.seen[n]), default=None)


class SemanticLayer:
    """One observation source of the layer.

    Args:
        layer: the layer's parameters.
        source: the name of the observation source among them.

    Attributes:
        joined: stamps of the masks that were joined with a confidence and a cloud.
        refused: stamps of those joined whose size was not the cloud's.
        unnamed: classes of a label info that no class_type names; the layer logs an error of each.
        flips: how often a tile that was seen as one class came to mean another by a label info.
        tiles: by their numbers.
    """

    def __init__(self, layer: dict[str, Any], source: str) -> None:
        self._values = layer[source]
        self._types = [ClassType(**self._values[name]) for name in self._values["class_types"]]
        topics = ("mask", "confidence", "cloud")
        self._joiner = ApproximateTime(topics, layer.get("sensor_data_depth", DEPTH))
        self._names: dict[int, str] = {}
        self.joined: list[int] = []
        self.refused: list[int] = []
        self.unnamed: set[str] = set()
        self.flips = 0
        self.tiles: dict[int, Tile] = {}

    def on_labels(self, info: Any) -> None:
        """Take what the ids mean from now on; tiles keep the ids that they have."""
        before = {number: self.meaning(number) for number in self.tiles}
        named = {name for entry in self._types for name in entry.classes}
        classes = {entry.class_id % 256: entry.class_name for entry in info.class_map}
        self.unnamed |= set(classes.values()) - named
        self._names = {number: name for number, name in classes.items() if name in named}
        for number, name in before.items():
            now = self.meaning(number)
            self.flips += name is not None and now is not None and now != name

    def on_mask(self, message: Any) -> None:
        """A mask arrived."""
        self._add("mask", stamp_of(message), message)

    def on_confidence(self, message: Any) -> None:
        """A confidence arrived."""
        self._add("confidence", stamp_of(message), message)

    def on_cloud(self, cloud: Cloud) -> None:
        """A cloud arrived."""
        self._add("cloud", cloud.stamp, cloud)

    def meaning(self, tile: int) -> str | None:
        """The class that a tile is taken for."""
        dominant = self.tiles[tile].dominant
        return None if dominant is None else self._names.get(dominant)

    def cost(self, tile: int, now: int) -> int:
        """The cost of a tile at a time in ns; 0 for one that nothing is known of."""
        self._forget(now)
        name = self.meaning(tile) if tile in self.tiles else None
        if name is None:
            return 0
        seen, rule = self.tiles[tile].seen[self.tiles[tile].dominant], self._rule(name)
        mean = sum(confidence for _, confidence in seen) / len(seen)
        sure = len(seen) >= rule.samples_to_max_cost and mean > rule.mark_confidence
        return rule.max_cost if sure else rule.base_cost

    def _rule(self, name: str) -> ClassType:
        return next(entry for entry in self._types if name in entry.classes)

    def _add(self, topic: str, stamp: int, message: Any) -> None:
        for mask, confidence, cloud in self._joiner.add(topic, stamp, message):
            self.joined.append(stamp_of(mask))
            if mask.width * mask.height != cloud.tiles.size:
                self.refused.append(stamp_of(mask))
            elif self._names:
                # The layer reads a byte a pixel, whatever the encoding is.
                self._observe(pixels_of(mask).astype(np.uint8), pixels_of(confidence), cloud)

    def _observe(self, mask: np.ndarray, confidence: np.ndarray, cloud: Cloud) -> None:
        self._forget(cloud.stamp)
        best: dict[int, int] = {}  # tile -> its pixel
        for pixel, tile in enumerate(cloud.tiles.ravel().tolist()):
            if tile not in best or self._better(mask, confidence, pixel, best[tile]):
                best[tile] = pixel
        for tile, pixel in best.items():
            number = int(mask.flat[pixel])
            if number in self._names:
                rule = self._rule(self._names[number])
                entry = self.tiles.setdefault(tile, Tile())
                entry.add(number, int(confidence.flat[pixel]), cloud.stamp, rule.dominant_priority)

    def _better(self, mask: np.ndarray, confidence: np.ndarray, pixel: int, other: int) -> bool:
        if not self._values.get("use_cost_selection", True):
            return bool(confidence.flat[pixel] > confidence.flat[other])
        costs = [
            self._rule(self._names[number]).max_cost if number in self._names else 0
            for number in (int(mask.flat[pixel]), int(mask.flat[other]))
        ]
        return costs[0] > costs[1]

    def _forget(self, now: int) -> None:
        until = now - int(self._values["tile_map_decay_time"] * 1e9)
        for number, tile in list(self.tiles.items()):
            tile.forget(until)
            if tile.dominant is None:
                del self.tiles[number]
