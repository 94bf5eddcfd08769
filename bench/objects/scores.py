# SPDX-License-Identifier: Apache-2.0
"""How well tracks follow true objects: IDF1, MOTA, switches, recall and precision.

IDF1 is that of Ristani et al. (Performance Measures and a Data Set for Multi-Target, Multi-Camera
Tracking, 2016), MOTA that of Bernardin and Stiefelhagen (CLEAR MOT, 2008). Boxes match from an
overlap of one half on, within a class. True objects that are too small to be asked for are neither
missed nor, if they are found, wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from dinoiser_ros.objects.association import overlap

_OVERLAP = 0.5


@dataclass(frozen=True)
class Boxes:
    """The boxes of one image.

    Attributes:
        ids: (n,) int: which object, or track.
        classes: (n,) int.
        places: (n, 4) centre x and y, width and height in pixels.
        counted: (n,) bool; false for true objects that are too small.
    """

    ids: np.ndarray
    classes: np.ndarray
    places: np.ndarray
    counted: np.ndarray


@dataclass
class Scores:
    """Counts over images of one or more drives; the objects of different drives are different.

    Attributes:
        hits, misses, wrong: true objects found and not found, and what is no object.
        switches: how often a true object got another number.
        survived, hidden: of objects that were hidden for a second, how many kept their number.
    """

    hits: int = 0
    misses: int = 0
    wrong: int = 0
    switches: int = 0
    survived: int = 0
    hidden: int = 0
    _true: Counter[tuple[int, int]] = field(default_factory=Counter)
    _found: Counter[tuple[int, int]] = field(default_factory=Counter)
    _both: Counter[tuple[tuple[int, int], tuple[int, int]]] = field(default_factory=Counter)
    _last: dict[tuple[int, int], int] = field(default_factory=dict)

    def add(self, drive: int, truth: Boxes, found: Boxes) -> dict[int, int]:
        """Compare one image; returns the number that each true object was found with."""
        shared = overlap(truth.places, found.places)
        shared[truth.classes[:, None] != found.classes[None]] = 0.0
        good = shared >= _OVERLAP
        rows, columns = linear_sum_assignment(np.where(good, shared, 0.0), maximize=True)
        pairs = [(r, c) for r, c in zip(rows, columns, strict=True) if good[r, c]]
        small = {column for row, column in pairs if not truth.counted[row]}
        pairs = [(row, column) for row, column in pairs if truth.counted[row]]
        asked = np.flatnonzero(truth.counted)
        kept = [column for column in range(len(found.ids)) if column not in small]
        self.hits += len(pairs)
        self.misses += len(asked) - len(pairs)
        self.wrong += len(kept) - len(pairs)
        self._true.update((drive, int(truth.ids[row])) for row in asked)
        self._found.update((drive, int(found.ids[column])) for column in kept)
        for row in asked:
            for column in kept:
                if good[row, column]:
                    key = (drive, int(truth.ids[row])), (drive, int(found.ids[column]))
                    self._both[key] += 1
        numbers = {int(truth.ids[row]): int(found.ids[column]) for row, column in pairs}
        for name, number in numbers.items():
            self.switches += self._last.get((drive, name), number) != number
            self._last[drive, name] = number
        return numbers

    @property
    def idf1(self) -> float:
        """In [0, 1]."""
        true, found = list(self._true), list(self._found)
        rows = {name: row for row, name in enumerate(true)}
        columns = {name: column for column, name in enumerate(found)}
        common = np.zeros((len(true), len(found)))
        for (name, number), count in self._both.items():
            common[rows[name], columns[number]] = count
        pairs = linear_sum_assignment(common, maximize=True)
        total = self._true.total() + self._found.total()
        return float(2 * common[pairs].sum() / total) if total else float("nan")

    @property
    def f1(self) -> float:
        """Of the detections, in [0, 1]: what IDF1 would be if no object ever changed its number."""
        return 2 * self.hits / max(2 * self.hits + self.misses + self.wrong, 1)

    @property
    def mota(self) -> float:
        """At most 1."""
        return 1 - (self.misses + self.wrong + self.switches) / max(self.hits + self.misses, 1)

    def __str__(self) -> str:
        recall = self.hits / max(self.hits + self.misses, 1)
        precision = self.hits / max(self.hits + self.wrong, 1)
        return "  ".join(
            [
                f"IDF1 {self.idf1:.3f} (F1 {self.f1:.3f})",
                f"MOTA {self.mota:6.3f}",
                f"recall {recall:.3f}",
                f"precision {precision:.3f}",
                f"switches {self.switches:2}",
                f"numbers {len(self._found):3} of {len(self._true)} objects",
                f"kept after hiding {self.survived}/{self.hidden}",
            ]
        )


def hiding_survived(hidden: Sequence[int | None], numbers: Sequence[dict[int, int]]) -> list[bool]:
    """Whether each object that was hidden for a while had its number again afterwards.

    Those that nobody had found before, or that do not come back into the picture, do not count.

    Args:
        hidden: for each image, the object behind the board.
        numbers: for each image, what `Scores.add` returned.
    """
    survived = []
    for index in range(1, len(hidden)):
        name = hidden[index - 1]
        if name is None or hidden[index] == name:
            continue
        start = index - 1
        while start and hidden[start - 1] == name:
            start -= 1
        before = [seen[name] for seen in numbers[max(start - 3, 0) : start] if name in seen]
        after = [seen[name] for seen in numbers[index : index + 5] if name in seen]
        if before and after:
            survived.append(before[-1] == after[-1])
    return survived
