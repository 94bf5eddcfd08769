# SPDX-License-Identifier: Apache-2.0
"""The film of a drive, and a strip of pictures of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dinoiser_ros.media.video_file import video_sink
from dinoiser_ros.sim.navigation.picture import strip

_RATE = 4.0  # pictures a second
_PICTURES = 2  # in the strip, of each leg
_QUALITY = 85


class Film:
    """Collects the pictures of a drive, each with the leg that it belongs to."""

    def __init__(self) -> None:
        self._frames: list[tuple[int, np.ndarray]] = []

    def add(self, leg: int, frame: np.ndarray) -> None:
        """Add a picture, (H, W, 3) uint8 RGB."""
        self._frames.append((leg, frame))

    def write(self, folder: Path) -> list[Path]:
        """Write drive.mp4 and drive.jpg; returns what was written.

        Raises:
            MediaError, OSError: a file cannot be written.
        """
        if not self._frames:
            return []
        folder.mkdir(parents=True, exist_ok=True)
        film, pictures = folder / "drive.mp4", folder / "drive.jpg"
        with video_sink(film, _RATE) as sink:
            for _, frame in self._frames:
                sink.add(frame)
        strip(self._chosen()).save(pictures, quality=_QUALITY)
        return [film, pictures]

    def _chosen(self) -> list[np.ndarray]:
        """Some pictures from the middle of each leg."""
        chosen = []
        for leg in sorted({leg for leg, _ in self._frames}):
            frames = [frame for other, frame in self._frames if other == leg]
            places = np.linspace(0, len(frames) - 1, _PICTURES + 2)[1:-1]
            chosen += [frames[round(place)] for place in places]
        return chosen
