# SPDX-License-Identifier: Apache-2.0
"""The parameter object_classes: which classes become objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dinoiser_ros.objects.class_names import things
from dinoiser_ros.utils.option import with_nearest
from dinoiser_ros.utils.texts import same_look

if TYPE_CHECKING:
    from dinoiser_ros.segmentation import SegmentationClass


def object_classes(
    chosen: Sequence[str], classes: Sequence[SegmentationClass]
) -> Mapping[int, str]:
    """Names of the classes that become objects, by id.

    Args:
        chosen: the parameter; empty texts stand for none.
        classes: those in use.
    """
    names = [entry.name for entry in classes]
    wanted = things(names, _named(chosen))
    return {entry.id: entry.name for entry, one in zip(classes, wanted, strict=True) if one}


def missing_objects(chosen: Sequence[str], classes: Sequence[SegmentationClass]) -> str | None:
    """Which of the chosen classes no prompt has, in one sentence; None if all are there."""
    names = [entry.name for entry in classes]
    known = {same_look(name) for name in names}
    faults = [with_nearest(name, names) for name in _named(chosen) if same_look(name) not in known]
    if not faults:
        return None
    return (
        f"no prompt has the class {', '.join(faults)} of object_classes: there are no such objects "
        "until the prompts name it"
    )


def _named(chosen: Sequence[str]) -> list[str]:
    return [" ".join(name.split()) for name in chosen if name.strip()]
