# SPDX-License-Identifier: Apache-2.0
"""Sliding windows against a loop over pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoiser_ros.evaluation import sliding_window as sliding
from dinoiser_ros.evaluation.runner import predictor

PATCH = 4


@pytest.fixture
def small(monkeypatch):
    """The same protocol with small numbers, which loops can follow."""
    monkeypatch.setattr(sliding, "SHORTER_SIDE", 16)
    monkeypatch.setattr(sliding, "LONGEST_SIDE", 60)
    monkeypatch.setattr(sliding, "WINDOW", 16)
    monkeypatch.setattr(sliding, "STRIDE", 8)


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def toy_probabilities(window):
    """(3, rows, columns): a softmax of the mean colour of each patch, padded to whole patches."""
    y, x = (-side % PATCH for side in window.shape[:2])
    pixels = torch.from_numpy(window).permute(2, 0, 1)[None].float()
    means = F.avg_pool2d(F.pad(pixels, (0, x, 0, y)), PATCH)[0]
    return F.softmax(means / 20, dim=0)


def naive_starts(length, window, stride):
    """Windows every `stride` pixels until one reaches the end, which is moved back to fit."""
    starts, at = [], 0
    while True:
        starts.append(max(0, min(at, length - window)))
        if at + window >= length:
            return starts
        at += stride


def naive_labels(rgb, side, longest, window, stride):
    """The protocol pixel by pixel."""
    height, width = rgb.shape[:2]
    scale = min(side / min(height, width), longest / max(height, width))
    h, w = int(height * scale + 0.5), int(width * scale + 0.5)
    pixels = torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].float()
    small = F.interpolate(pixels, (h, w), mode="bilinear", align_corners=False)
    small = small[0].round().byte().permute(1, 2, 0).numpy()
    covering = [[[] for _ in range(w)] for _ in range(h)]
    for top in naive_starts(h, window, stride):
        for left in naive_starts(w, window, stride):
            part = small[top : top + window, left : left + window]
            coarse = toy_probabilities(part)[None]
            fine = F.interpolate(coarse, scale_factor=PATCH, mode="bilinear", align_corners=False)
            for y in range(part.shape[0]):
                for x in range(part.shape[1]):
                    covering[top + y][left + x].append(fine[0, :, y, x])
    mean = torch.stack(
        [torch.stack([torch.stack(c).mean(0) for c in row], 1) for row in covering], 1
    )
    full = F.interpolate(mean[None], (height, width), mode="bilinear", align_corners=False)
    return full[0].argmax(0).numpy()


@pytest.mark.parametrize(
    "size", [(16, 16), (23, 37), (40, 17), (9, 31), (50, 13), (8, 64), (30, 45)]
)
def test_labels_are_those_of_a_loop(size, small):
    rgb = picture(*size)
    labels = sliding.segment_in_windows(rgb, toy_probabilities, PATCH)
    naive = naive_labels(rgb, 16, 60, 16, 8)
    assert labels.shape == size
    # Ties between classes may break either way in the last bit of a float.
    assert (labels == naive).mean() > 0.995


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 2500), st.integers(1, 500), st.integers(1, 500))
def test_starts_are_those_of_a_loop(length, window, stride):
    stride = min(stride, window)
    starts = sliding.window_starts(length, window, stride)
    assert starts == sorted(set(naive_starts(length, window, stride)))
    covered = np.zeros(length, bool)
    for start in starts:
        covered[start : start + window] = True
    assert covered.all() and starts[-1] + min(window, length) == length


@pytest.mark.parametrize(
    ("size", "working", "windows"),
    [
        ((375, 500), (448, 597), (1, 2)),
        ((500, 375), (597, 448), (2, 1)),
        ((1024, 2048), (448, 896), (1, 3)),
        ((448, 448), (448, 448), (1, 1)),
        ((100, 1000), (205, 2048), (1, 9)),  # the longer side binds: 2048
    ],
)
def test_the_published_protocol(size, working, windows):
    assert sliding.working_size(size) == working
    assert tuple(len(sliding.window_starts(side, 448, 224)) for side in working) == windows


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 6000), st.integers(1, 6000))
def test_working_sizes_fit(height, width):
    h, w = sliding.working_size((height, width))
    assert 1 <= min(h, w) <= 448 and max(h, w) <= 2048
    assert min(h, w) == 448 or max(h, w) == 2048


def test_averages_of_probabilities_are_probabilities(small):
    average = sliding.window_average(picture(16, 41), toy_probabilities, PATCH)
    assert average.shape == (3, 16, 41)
    torch.testing.assert_close(average.sum(0), torch.ones(16, 41))


def test_another_grid_lies_over_the_window():
    """As of a method that works at a resolution of its own: 6 x 6 cells for a window of 16."""
    coarse = torch.rand(2, 6, 6)
    average = sliding.window_average(picture(16, 16), lambda window: coarse, PATCH)
    wanted = F.interpolate(coarse[None], (16, 16), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(average, wanted)


def test_resize_keeps_a_picture_of_the_right_size():
    rgb = picture(20, 30)
    assert (sliding.resize(rgb, (20, 30)) == rgb).all()
    flat = sliding.resize(np.full((20, 30, 3), 77, np.uint8), (11, 17))
    assert flat.shape == (11, 17, 3) and (flat == 77).all()


def test_one_window_is_the_segmenter_itself(golden, expected, monkeypatch):
    from dinoiser_ros.evaluation.datasets.benchmarks import BENCHMARKS

    rgb = expected["square.image_u8"]
    side = rgb.shape[0]
    monkeypatch.setattr(sliding, "SHORTER_SIDE", side)
    monkeypatch.setattr(sliding, "WINDOW", side)
    golden.set_options(background_filter="off")
    labels = predictor(golden, BENCHMARKS["voc20"])(rgb)
    assert (labels == golden.segment(rgb).labels).all()
