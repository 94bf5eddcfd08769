# SPDX-License-Identifier: Apache-2.0
"""Boxes in space, and which classes are things."""

from __future__ import annotations

import numpy as np
import pytest

from dinoiser_ros.geometry.camera_model import CameraModel, ray_directions
from dinoiser_ros.objects.boxes import box_in_space
from dinoiser_ros.objects.class_names import is_stuff, things
from dinoiser_ros.objects.found import ObjectLimits, find_objects, follow
from dinoiser_ros.objects.tracking import Tracker
from dinoiser_ros.ros.segment.objects.object_classes import missing_objects, object_classes
from dinoiser_ros.ros.segment.parameters import BY_NAME
from dinoiser_ros.segmentation.text.vocabulary import parse_prompts

CAMERA = CameraModel(80, 60, 50.0, 50.0, 39.5, 29.5)


def test_a_box_is_where_the_points_are() -> None:
    depth = np.full((60, 80), 5.0, np.float32)
    inside = np.zeros(depth.shape, bool)
    inside[10:40, 20:60] = True
    depth[inside] = 2.0
    depth[12, 20:60:5] = np.nan
    depth[39, 59] = 5.0  # one pixel of the wall
    box = box_in_space(depth, ray_directions(CAMERA), inside)
    assert box.centre == pytest.approx([0.0, -0.2, 2.0], abs=0.03)
    assert box.size == pytest.approx([1.6, 1.2, 0.0], abs=0.09)
    assert box.point[2] == 2.0


def test_there_is_no_box_without_depth() -> None:
    depth = np.full((60, 80), np.nan, np.float32)
    inside = np.ones(depth.shape, bool)
    assert box_in_space(depth, ray_directions(CAMERA), inside) is None
    depth[0, :5] = 1.0
    assert box_in_space(depth, ray_directions(CAMERA), inside) is None


def test_objects_are_found_and_followed() -> None:
    labels = np.zeros((60, 80), np.uint8)
    labels[10:40, 20:60] = 3
    names = {3: "person"}
    space = (np.full(labels.shape, 2.0, np.float32), ray_directions(CAMERA))
    limits, tracker = ObjectLimits(0.01, 0.5, 0.4), Tracker()
    sure = np.ones(labels.shape, np.float32)
    for step in range(3):
        instances, boxes = find_objects(labels, sure, names, limits, space)
        (found,) = follow(tracker, step * 0.1, instances, boxes, names)
    assert (found.class_name, found.track, found.instance.pixel_count) == ("person", 1, 1200)
    renamed, boxes = find_objects(labels + 4, sure, {7: "person"}, limits, None)
    (found,) = follow(tracker, 0.3, renamed, boxes, {7: "person"})
    assert (found.track, found.instance.class_id, found.box) == (1, 7, None)


@pytest.mark.parametrize(
    ("name", "stuff"),
    [
        ("wooden floor", True),
        ("Walls", True),
        ("grass", True),
        ("background", True),
        ("person", False),
        ("wall clock", False),
        ("floor lamp", False),
        ("glass", False),
        ("traffic cone", False),
    ],
)
def test_stuff_is_known_by_the_last_word(name: str, stuff: bool) -> None:
    assert is_stuff(name) == stuff


def test_the_default_prompts_have_the_things_among_them() -> None:
    classes = parse_prompts(BY_NAME["prompts"].default)[1]
    found = object_classes(BY_NAME["object_classes"].default, classes)
    assert set(found.values()) == {"person", "chair", "table", "door"}
    assert things(["floor", "cup"], ["Floor"]) == [True, False]


def test_classes_that_no_prompt_has_are_named() -> None:
    classes = parse_prompts(["person", "traffic cone"])[1]
    sentence = missing_objects(["traffic cones", "Person", " "], classes)
    assert "'traffic cones' (did you mean 'traffic cone'?)" in sentence
    assert missing_objects(["person", ""], classes) is None
    assert object_classes(["traffic   cone", "unicorn"], classes) == {1: "traffic cone"}
