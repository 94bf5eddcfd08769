# SPDX-License-Identifier: Apache-2.0
"""Videos as tests want them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from dinoiser_ros.media.inputs import VIDEO, Input

FRAMES, WIDTH, HEIGHT = 5, 64, 48


def write_video(path: Path, codec: str = "mp4v", rate: float = 12.5) -> Input:
    """A video whose frames get brighter."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for number in range(FRAMES):
        frame = np.full((HEIGHT, WIDTH, 3), 40 * number, np.uint8)
        frame[:, : WIDTH // 2, 2] = 200
        writer.write(frame)
    writer.release()
    return Input(path, VIDEO, path.stem)
