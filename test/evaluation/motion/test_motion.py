# SPDX-License-Identifier: Apache-2.0
"""The measurement of masks over time, on a wall that a camera drives along."""

from __future__ import annotations

import numpy as np
import pytest
from moving_pictures import MARGIN, coloured, texture, window

from dinoiser_ros.evaluation.motion.answers import as_masks, true_answers, true_masks
from dinoiser_ros.evaluation.motion.correspondence import Correspondences, true_places
from dinoiser_ros.evaluation.motion.drives import EVERY, RATE, Drive, View
from dinoiser_ros.evaluation.motion.flicker import Flicker, smoothed
from dinoiser_ros.evaluation.motion.replay import CarriedReplay, Counts, Schedule
from dinoiser_ros.evaluation.motion.report import Findings, markdown
from dinoiser_ros.sim.patrol import CameraPose

SIZE = (120, 160)
DEPTH = 3.0  # metres from the camera to the wall
FOVY = 50.0  # degrees
FOCAL = 0.5 * SIZE[0] / np.tan(np.radians(FOVY) / 2)
WALL = texture(0)
CLASSES = np.random.default_rng(1).integers(0, 3, (WALL.shape[0] // 20, WALL.shape[1] // 20))
CLASSES = np.kron(CLASSES, np.ones((20, 20))).astype(np.uint8)
PICTURES = 60


def view(pixels: int) -> View:
    """What is seen after driving so many pixels to the right, along the wall."""
    right = pixels * DEPTH / FOCAL
    pose = CameraPose(0.0, -right, 1.0, yaw=0.0, pitch=0.0)
    truth = window(CLASSES, (pixels, 0))
    return View(truth, np.full(SIZE, DEPTH, np.float32), pose, FOVY, turning=False)


@pytest.fixture(scope="module")
def drive() -> Drive:
    """A pixel a picture."""
    pictures = [coloured(window(WALL, (index, 0))) for index in range(PICTURES)]
    views = [view(index) for index in range(PICTURES)]
    return Drive(7, pictures, views[::EVERY], [shown.truth for shown in views])


def carried(drive: Drive, schedule: Schedule, *lengths: int) -> Counts:
    """With a network that is never wrong."""
    counts, motion = Counts(), Correspondences(drive)
    every, answers = true_masks(drive.views), true_answers(drive)
    CarriedReplay(drive, motion, every, answers, schedule, lengths).run(counts)
    return counts


def test_true_places_are_where_the_wall_was() -> None:
    places, same = true_places(view(30), view(10))
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    assert same[:, :140].all() and not same[:, 140:].any(), "beyond the edge nothing was seen"
    np.testing.assert_array_equal(places[:, :140, 0], x[:, :140] + 20)
    np.testing.assert_array_equal(places[:, :140, 1], y[:, :140])


def test_what_something_else_hides_is_not_the_same() -> None:
    before = view(0)
    before.depth[40:80, 60:100] = 1.0
    _, same = true_places(view(0), before)
    assert not same[40:80, 60:100].any() and same[:, :60].all()


def test_carried_masks_are_better_than_stale_ones(drive: Drive) -> None:
    counts = carried(drive, Schedule(0.5))
    assert counts.mean_iou("every frame", "all") == 1.0
    seen = counts.mean_iou("carried", "seen")
    assert seen > 0.8 > counts.mean_iou("stale", "seen") + 0.3
    assert counts.mean_iou("carried", "all") <= seen
    assert np.isnan(counts.mean_iou("carried", "turning"))
    assert counts.followed == PICTURES and counts.carried == (PICTURES - RATE / 2) / EVERY


def test_windows_lose_less_than_whole_pictures(drive: Drive) -> None:
    whole, windows = carried(drive, Schedule(1.0)), carried(drive, Schedule(1.0, share=0.25), 40)
    loss = 1 - whole.mean_iou("carried", "all")
    assert 1 - windows.mean_iou("carried", "all") < loss - 0.15
    assert ("stale", "all") not in windows.matrices and ("carried", "seen") not in windows.matrices


def test_smoothing_is_measured(drive: Drive) -> None:
    motion = Correspondences(drive)
    labels = []
    for index, shown in enumerate(drive.views):
        wrong = np.random.default_rng(index).random(SIZE) < 0.2
        labels.append(np.where(wrong, (shown.truth + 1) % 3, shown.truth).astype(np.uint8))
    masks = as_masks(labels, [np.full(SIZE, 0.8, np.float32)] * len(labels))
    plain, fused = Flicker(), Flicker()
    plain.add(drive, motion, masks)
    fused.add(drive, motion, smoothed(drive, masks, fused))
    assert plain.share == pytest.approx(2 * 0.2 * 0.8, abs=0.01)
    assert fused.share < plain.share / 2 and fused.mean_iou > plain.mean_iou + 0.05


def test_noise_is_the_same_each_time_and_only_where_it_is_looked_at(drive: Drive) -> None:
    noisy, again = drive.noisy(), drive.noisy()
    for index in range(PICTURES):
        np.testing.assert_array_equal(noisy.pictures[index], again.pictures[index])
        changed = (noisy.pictures[index] != drive.pictures[index]).any()
        assert changed == (index % EVERY == 0)


def test_the_page_has_what_was_measured(drive: Drive) -> None:
    counts, flicker = carried(drive, Schedule(0.5)), Flicker(changed=5, compared=100)
    flicker.add(drive, Correspondences(drive), true_masks(drive.views)[:1] * len(drive.views))
    schedules = {("truth", Schedule(0.5)): counts, ("truth", Schedule(0.5, share=0.25)): counts}
    page = markdown(Findings((7,), 2.0, schedules, {("noise", True): flicker}))
    assert f"{100 * counts.mean_iou('carried', 'all'):.1f}" in page
    assert f"{100 * (1 - counts.mean_iou('carried', 'seen')):.1f}" in page
    assert "1 drives of 2 s" not in page and "| truth" in page and "smooth" in page


def test_the_wall_is_as_large_as_the_drive() -> None:
    assert PICTURES + 10 <= MARGIN
