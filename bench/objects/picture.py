# SPDX-License-Identifier: Apache-2.0
"""An object before, while and after it is hidden, with the boxes and numbers that are published."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dinoiser_ros.objects.found import FoundObject

from .drives import TrueFrame

_BEFORE, _AFTER = 2, 4  # images before it is hidden, and after it is seen again
Shown = tuple[np.ndarray, list[FoundObject], str]


class Strip:
    """Draws the first object that is hidden with most other objects around.

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
            (self._recent[(start + end) // 2], "hidden"),
            (self._recent[-1], "after"),
        ]
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
        figure, axes = pyplot.subplots(1, len(self._best), figsize=(13, 3.5), layout="constrained")
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
                axis.text(at.x, at.y - 6, text, color="white", fontsize=8, bbox=style)
        figure.savefig(self._path, dpi=75)
        pyplot.close(figure)
