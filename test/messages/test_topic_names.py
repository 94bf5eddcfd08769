# SPDX-License-Identifier: Apache-2.0
"""Names of topics: always valid for ROS, always distinct, always the same for the same classes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoiser_ros.messages.topic_names import (
    class_topic_names,
    is_compressed_topic,
    output_namespaces,
)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["traffic cone", "Wooden Floor"], ["traffic_cone", "wooden_floor"]),
        (["Tür", "naïve café"], ["tur", "naive_cafe"]),
        (["дверь", "門", "🚪"], ["class_0", "class_1", "class_2"]),
        (["a-b", "a b", "a_b"], ["a_b", "a_b_1", "a_b_2"]),
        (["3 chairs", "_x_", "x__y"], ["class_3_chairs", "x", "x_y"]),
        (["class 1", "門"], ["class_1", "class_1_1"]),
        (["x" * 200], ["x" * 64]),
    ],
)
def test_class_names(names: list[str], expected: list[str]) -> None:
    assert class_topic_names(names, range(len(names))) == expected


@given(st.permutations([(2, "a-b"), (5, "a b"), (9, "門"), (7, "A_B"), (0, "person")]))
def test_class_topics_do_not_depend_on_the_order(classes: list[tuple[int, str]]) -> None:
    ids, names = zip(*classes, strict=True)
    topics = dict(zip(names, class_topic_names(names, ids), strict=True))
    assert topics == {
        "a-b": "a_b", "a b": "a_b_5", "門": "class_9", "A_B": "a_b_7", "person": "person"
    }  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.text(min_size=1, max_size=80), max_size=30))
def test_any_class_names_give_valid_and_distinct_topics(names: list[str]) -> None:
    from rclpy.validate_full_topic_name import validate_full_topic_name

    tokens = class_topic_names(names, range(len(names)))
    assert len(tokens) == len(names) == len(set(tokens))
    assert tokens == class_topic_names(names, range(len(names)))
    for token in tokens:
        validate_full_topic_name(f"/robot_1/dinoiser/masks/{token}")
        assert "__" not in token


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a b", "a-b", "A b", "a b 1", "a b 2", "a_b_1_1"])))
def test_names_that_collide_are_told_apart(names: list[str]) -> None:
    tokens = class_topic_names(names, range(len(names)))
    assert len(set(tokens)) == len(tokens)


@pytest.mark.parametrize(
    ("topics", "expected"),
    [
        (["/image"], ["~"]),
        (["/front/image_raw", "/rear/image_raw"], ["/front/node", "/rear/node"]),
        (["/stereo/left", "/stereo/right"], ["/stereo/left/node", "/stereo/right/node"]),
        (["/cam1", "/cam2"], ["/cam1/node", "/cam2/node"]),
        (["/front/image_raw/compressed", "/rear/image_raw"], ["/front/node", "/rear/node"]),
        (
            ["/front/image_raw", "/front/image_raw/compressed"],
            ["/front/image_raw/node", "/front/image_raw/compressed/node"],
        ),
    ],
)
def test_several_cameras_have_namespaces_of_their_own(
    topics: list[str], expected: list[str]
) -> None:
    assert output_namespaces(topics, "node") == expected


def test_compressed_topics_are_known_by_their_name() -> None:
    assert is_compressed_topic("/front/image_raw/compressed")
    assert not is_compressed_topic("/compressed_camera/image")
