# SPDX-License-Identifier: Apache-2.0
"""An object before, while and after it is hidden, with the boxes and numbers that are published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from dinoiser_ros.objects.association import overlap
from dinoiser_ros.objects.found import FoundObject

from .drives import TrueFrame

_BEFORE, _AFTER = 2, 4  # images before it is hidden, and after it is seen again
Shown = tuple[np.ndarray, list[FoundObject], str]


class Strip:
    """Draws an object that is hidden and found again, with as many other objects as possible.

    Args:
        path: of a PNG file; None to draw nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._recent: list[tuple[TrueFrame, list[FoundObject]]] = []
        self._best: list[Shown] = []

    def look(self, frame: TrueFrame, found: list[FoundObject]) -> None:
        """The next image and its objects."""
        if self._path is None:
            return
        if self._recent and frame.seconds < self._recent[-1][0].seconds:
            self._recent = []  # another drive
        self._recent = [*self._recent, (frame, found)][-(_BEFORE + _AFTER + 12) :]
        hidden = [one.hidden is not None for one, _ in self._recent]
        end = len(hidden) - _AFTER
        if end < 1 or any(hidden[end:]) or not hidden[end - 1]:
            return
        start = hidden.index(True)
        if start < _BEFORE:
            return
        shown = [
            (self._recent[start - _BEFORE], "before"),
            (self._recent[(start + end) // 2], "hidden by a board"),
            (self._recent[-1], "after"),
        ]
        target = self._recent[start][0].hidden
        numbers = {_number(*shown[0][0], target), _number(*shown[2][0], target)}
        if len(numbers) > 1 or 0 in numbers:
            return
        if not self._best or len(shown[0][0][1]) > len(self._best[0][1]):
            self._best = [(one.rgb, objects, title) for (one, objects), title in shown]

    def close(self) -> None:
        """Write the file."""
        if self._path is None or not self._best:
            return
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
        from matplotlib.patches import Rectangle

        colours = pyplot.get_cmap("tab10")
        figure, axes = pyplot.subplots(1, len(self._best), figsize=(13, 3.8), layout="constrained")
        for axis, (image, found, title) in zip(axes, self._best, strict=True):
            axis.imshow(image)
            axis.set_title(title)
            axis.axis("off")
            for one in found:
                at, colour = one.instance, colours(one.track % 10)
                box = Rectangle((at.x, at.y), at.width, at.height, fill=False, ec=colour, lw=2)
                axis.add_patch(box)
                distance = f"  {one.box.centre[2]:.1f} m" if one.box else ""
                text = f"{one.class_name} {one.track or ''}{distance}"
                style = {"facecolor": colour, "edgecolor": "none", "pad": 1.5}
                x, y = min(at.x, image.shape[1] - 90), max(at.y - 6, 14)
                axis.text(x, y, text, color="white", fontsize=8, bbox=style)
        figure.savefig(self._path, dpi=75)
        pyplot.close(figure)
        # A palette is enough, and a third of the bytes.
        Image.open(self._path).convert("RGB").quantize(128).save(self._path, optimize=True)


def _number(frame: TrueFrame, found: list[FoundObject], target: int | None) -> int:
    """The number that an instance was found with, 0 if it was not."""
    rows, columns = np.nonzero(frame.instances == target)
    if not len(rows):
        return 0
    sides = np.ptp(columns) + 1, np.ptp(rows) + 1
    box = np.array([[columns.min() + sides[0] / 2, rows.min() + sides[1] / 2, *sides]])
    for one in found:
        at = one.instance
        place = [at.x + at.width / 2, at.y + at.height / 2, at.width, at.height]
        if overlap(box, np.array([place]))[0, 0] > 0.7:
            return one.track
    return 0
