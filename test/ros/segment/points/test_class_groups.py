# SPDX-License-Identifier: Apache-2.0
"""Groups of classes and topics of depth: what parameters may say, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from dinoiser_ros.errors import ParameterError
from dinoiser_ros.ros.parameter_declaration import check
from dinoiser_ros.ros.segment.parameters import BY_NAME
from dinoiser_ros.ros.segment.points.class_groups import class_groups, class_ids, missing_classes
from dinoiser_ros.ros.segment.points.depth_topics import topics_of_cameras
from dinoiser_ros.segmentation.text.vocabulary import parse_prompts

CLASSES = parse_prompts(["floor: wooden floor, carpet", "Person", "traffic cone"])[1]


def groups(obstacles: list[str], ground: list[str] | None = None) -> Any:
    values = {"obstacle_groups": obstacles, "ground_groups": ground or [""]}
    for name, value in values.items():
        check(BY_NAME[name], value)
    return class_groups(values)


def test_groups_have_topics_and_classes() -> None:
    found = groups(
        ["danger: person,  traffic   cone", "Wet spots:spilled coffee"], ["floor: floor"]
    )
    assert [(group.topic, group.classes) for group in found] == [
        ("obstacles/danger", ("person", "traffic cone")),
        ("obstacles/wet_spots", ("spilled coffee",)),
        ("ground/floor", ("floor",)),
    ]
    assert groups([""]) == groups(["", "  "]) == ()


def test_classes_are_found_by_what_people_read() -> None:
    (group,) = groups(["danger: person, traffic cones, unicorn"])
    assert class_ids(group, CLASSES) == ((1,), ("traffic cones", "unicorn"))
    sentence = missing_classes([group], CLASSES)
    assert "'traffic cones' of obstacles/danger (did you mean 'traffic cone'?)" in sentence
    assert "'unicorn' of obstacles/danger:" in sentence
    assert missing_classes(groups(["danger: PERSON"]), CLASSES) is None


@pytest.mark.parametrize(
    "texts",
    [
        ["danger"],
        ["danger:"],
        [": person"],
        ["danger: person,"],
        ["danger: , person"],
        ["дверь: x"],
    ],
)
def test_what_is_no_group_is_refused(texts: list[str]) -> None:
    with pytest.raises(ParameterError, match=r"obstacle_groups.*danger: person"):
        groups(texts)


def test_two_groups_of_one_name_are_refused() -> None:
    with pytest.raises(ParameterError, match="'danger' twice"):
        groups(["danger: person", "Danger: dog"])
    assert len(groups(["floor: person"], ["floor: floor"])) == 2


def topics(images: list[str], depth: list[str], infos: list[str]) -> Any:
    values = {"image_topics": images, "depth_topics": depth, "camera_info_topics": infos}
    for name in ("depth_topics", "camera_info_topics"):
        check(BY_NAME[name], values[name])
    return topics_of_cameras(values, lambda name: name if name[0] == "/" else f"/{name}")


def test_each_camera_has_its_depth_or_none() -> None:
    assert topics(["a", "b"], [""], [""]) == [None, None]
    assert topics(["a", "b"], ["", "depth"], ["", "/i"]) == [None, ("/depth", "/i")]


@pytest.mark.parametrize(
    ("depth", "infos", "words"),
    [
        (["d"], ["i"], "depth_topics has 1 entries and image_topics 2"),
        (["d", ""], ["i"], "camera_info_topics has 1 entries"),
        (["/c/depth/image_raw", ""], [""], "/c/depth/camera_info"),
        (["/c/depth/compressedDepth", ""], ["", "i"], "/c/camera_info"),
    ],
)
def test_lists_that_do_not_fit_are_refused(depth: list[str], infos: list[str], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        topics(["a", "b"], depth, infos)
