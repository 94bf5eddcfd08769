# SPDX-License-Identifier: Apache-2.0
"""A frame, its mask, and the points of objects from above, without and with borders left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dinoiser_ros.geometry.camera_model import ray_directions
from dinoiser_ros.geometry.surfaces import Surfaces
from dinoiser_ros.sim.camera import RenderedFrame
from dinoiser_ros.sim.classes import CLASSES, OBJECT_IDS

from .accuracy import pinhole

_REACH = 5.0  # metres that are shown


def write_picture(
    path: Path, frame: RenderedFrame, labels: np.ndarray, radius: int, edge: float
) -> None:
    """Write a PNG.

    Args:
        path: of the file.
        frame: what the camera saw.
        labels: (H, W) class ids, the mask.
        radius, edge: the parameters border_erosion and depth_edge.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    colours = pyplot.get_cmap("tab20")
    figure, axes = pyplot.subplots(1, 4, figsize=(16, 4), layout="constrained")
    axes[0].imshow(frame.rgb)
    axes[0].set_title("camera")
    axes[1].imshow(labels, cmap=colours, vmin=0, vmax=20, interpolation="nearest")
    axes[1].set_title("mask")
    depth = np.where(np.isfinite(frame.depth), frame.depth, np.nan).astype(np.float32)
    right = ray_directions(pinhole(frame))[0] * depth
    for axis, erosion in zip(axes[2:], (0, radius), strict=True):
        surfaces = Surfaces()
        surfaces.measure(depth, erosion, edge)
        for number in OBJECT_IDS:
            mask = np.zeros(depth.shape, bool)
            surfaces.add_trusted(labels, number, mask)
            if mask.any():
                style = {"markersize": 1, "color": colours(number), "label": CLASSES[number]}
                axis.plot(right[mask], depth[mask], ".", **style)
        axis.set(xlim=(-_REACH / 2, _REACH / 2), ylim=(0, _REACH), aspect="equal")
        axis.set_title(f"from above, border_erosion {erosion}")
        axis.legend(markerscale=8, fontsize=8, loc="upper right")
    for axis in axes[:2]:
        axis.axis("off")
    figure.savefig(path, dpi=75)
    pyplot.close(figure)
