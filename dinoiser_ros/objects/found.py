# SPDX-License-Identifier: Apache-2.0
"""Everything that is known of the objects of one image: instances, boxes in space, numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .boxes import Box3D, box_in_space
from .instances import Instance, Instances, find_instances
from .tracking import Observation, Tracker


@dataclass(frozen=True)
class FoundObject:
    """An object of an image.

    Attributes:
        instance: where it is in the image.
        class_name: of its class.
        box: where it is in space; None if not known.
        track: its number, the same in other images; 0 for none yet.
    """

    instance: Instance
    class_name: str
    box: Box3D | None
    track: int


@dataclass(frozen=True)
class ObjectLimits:
    """What counts as an object, see the parameters of the same names.

    Attributes:
        min_size: share of the image's pixels, in [0, 1].
        min_confidence: in [0, 1].
        depth_jump: in metres.
    """

    min_size: float
    min_confidence: float
    depth_jump: float


def find_objects(
    labels: np.ndarray,
    confidence: np.ndarray,
    class_names: Mapping[int, str],
    limits: ObjectLimits,
    space: tuple[np.ndarray, np.ndarray] | None,
) -> tuple[Instances, list[Box3D | None]]:
    """The objects of an image and their boxes in space.

    Args:
        labels: (H, W) uint8 or uint16 class ids.
        confidence: (H, W) float32 in [0, 1].
        class_names: of the classes that are objects, by id.
        limits: what counts as one.
        space: depth (H, W) and rays (2, H, W), see `box_in_space`; None for no depth.
    """
    instances = find_instances(
        labels,
        confidence,
        class_names,
        round(limits.min_size * labels.size),
        None if space is None else space[0],
        limits.depth_jump,
        limits.min_confidence,
    )
    boxes: list[Box3D | None] = []
    for one in instances.objects:
        if space is None:
            boxes.append(None)
            continue
        part = (slice(one.y, one.y + one.height), slice(one.x, one.x + one.width))
        inside = instances.mask[part] == one.value
        boxes.append(box_in_space(space[0][part], space[1][:, part[0], part[1]], inside))
    return instances, boxes


def follow(
    tracker: Tracker,
    seconds: float,
    instances: Instances,
    boxes: list[Box3D | None],
    class_names: Mapping[int, str],
) -> list[FoundObject]:
    """Give the objects of the next image of a camera their numbers.

    Args:
        tracker: of the camera.
        seconds: stamp of the image.
        instances, boxes: of `find_objects`.
        class_names: by id; they tell classes apart, since ids may change.
    """
    seen = [
        Observation(
            class_names[one.class_id],
            np.array([one.x + one.width / 2, one.y + one.height / 2, one.width, one.height]),
            None if box is None else box.point,
        )
        for one, box in zip(instances.objects, boxes, strict=True)
    ]
    numbers = tracker.update(seconds, seen)
    return [
        FoundObject(one, class_names[one.class_id], box, number)
        for one, box, number in zip(instances.objects, boxes, numbers, strict=True)
    ]
