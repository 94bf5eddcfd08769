# SPDX-License-Identifier: Apache-2.0
"""The parameters obstacle_groups and ground_groups: "danger: person, traffic cone"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dinoiser_ros.errors import ParameterError
from dinoiser_ros.messages.topic_names import topic_token
from dinoiser_ros.utils.option import with_nearest
from dinoiser_ros.utils.texts import same_look

if TYPE_CHECKING:
    from dinoiser_ros.segmentation import SegmentationClass

KINDS = {"obstacle_groups": "obstacles", "ground_groups": "ground"}
"""Parameter -> where the topics of its groups live."""


@dataclass(frozen=True)
class ClassGroup:
    """Classes whose points have a topic of their own.

    Attributes:
        topic: of its cloud, below the camera's outputs: "obstacles/danger".
        classes: names of classes, as the prompts give them.
    """

    topic: str
    classes: tuple[str, ...]


def class_groups(values: Mapping[str, Any]) -> tuple[ClassGroup, ...]:
    """The groups that the parameters of `KINDS` name; empty texts stand for none.

    Raises:
        ParameterError: a text is no group, or two groups of one parameter have one name.
    """
    groups: dict[str, ClassGroup] = {}
    for parameter, folder in KINDS.items():
        for text in filter(str.strip, values[parameter]):
            group = _parse(parameter, folder, text)
            if group.topic in groups:
                raise ParameterError(
                    f"{parameter} names the group '{group.topic.partition('/')[2]}' twice: put its "
                    "classes into one entry."
                )
            groups[group.topic] = group
    return tuple(groups.values())


def _parse(parameter: str, folder: str, text: str) -> ClassGroup:
    name, colon, rest = text.partition(":")
    classes = tuple(" ".join(part.split()) for part in rest.split(","))
    token = topic_token(name)
    if not (colon and token and all(classes)):
        raise ParameterError(
            f"{parameter} cannot have the entry '{text[:60]}': write a name, a colon and classes, "
            "such as 'danger: person, traffic cone'."
        )
    return ClassGroup(f"{folder}/{token}", classes)


def class_ids(
    group: ClassGroup, classes: Sequence[SegmentationClass]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The ids of a group's classes, and the names of those that no prompt has."""
    known = {same_look(entry.name): entry.id for entry in classes}
    found = {name: known.get(same_look(name)) for name in group.classes}
    ids = tuple(number for number in found.values() if number is not None)
    return ids, tuple(name for name, number in found.items() if number is None)


def missing_classes(
    groups: Sequence[ClassGroup], classes: Sequence[SegmentationClass]
) -> str | None:
    """Which classes of groups no prompt has, in one sentence; None if all are there."""
    names = [entry.name for entry in classes]
    faults = [
        with_nearest(name, names, f" of {group.topic}")
        for group in groups
        for name in class_ids(group, classes)[1]
    ]
    if not faults:
        return None
    return (
        f"no prompt has the class {', '.join(faults)}: its topic has no such points until the "
        "prompts name it"
    )
