# SPDX-License-Identifier: Apache-2.0
"""The classes in use with the ids that messages carry, see `messages.class_ids`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dinoiser_ros.messages.class_ids import IdHistory, unlabeled_id
from dinoiser_ros.messages.mask_pixels import id_table, with_ids
from dinoiser_ros.messages.prompt_ids import split_ids
from dinoiser_ros.utils.texts import same_look

if TYPE_CHECKING:
    from dinoiser_ros.segmentation import Segmentation, SegmentationClass


@dataclass(frozen=True)
class ClassNumbering:
    """What the ids in messages mean: immutable, so that it can be swapped between two frames.

    Attributes:
        policy: the parameter `id_policy`.
        classes: in the order of the prompts, with the ids of messages.
        history: which id was whose.
        table: from positions to these ids, None if they are the same.
    """

    policy: str
    classes: tuple[SegmentationClass, ...] = ()
    history: IdHistory = IdHistory()
    table: np.ndarray | None = None

    def after(self, prompts: Sequence[str], classes: Sequence[SegmentationClass]) -> ClassNumbering:
        """The numbering after a change of prompts.

        Args:
            prompts: as they were given, with the ids that they ask for.
            classes: of these prompts, as the segmenter has them: their ids are positions.

        Raises:
            PromptError: a prompt asks for an id that it cannot have.
        """
        given, _ = split_ids(prompts)
        names = [same_look(entry.name) for entry in classes]
        history = self.history.next(names, given, self.policy)
        numbered = tuple(
            dataclasses.replace(entry, id=number)
            for entry, number in zip(classes, history.in_use, strict=True)
        )
        table = id_table(history.in_use, unlabeled_id(len(classes)))
        return ClassNumbering(self.policy, numbered, history, table)

    def apply(self, segmentation: Segmentation) -> Segmentation:
        """A result of the segmenter, with the classes in use, as messages tell of it."""
        if self.table is None:
            return segmentation
        labels = with_ids(segmentation.labels, self.table)
        return dataclasses.replace(segmentation, labels=labels, classes=self.classes)
