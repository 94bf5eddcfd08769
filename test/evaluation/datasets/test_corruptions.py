# SPDX-License-Identifier: Apache-2.0
"""Corrupted pictures: severity, seeds, shapes; and the table that is made with them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import HELD_OUT

from dinoiser_ros.evaluation.datasets.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from dinoiser_ros.sim.frames import read_frames

FRAMES = HELD_OUT


@pytest.fixture(scope="module")
def frame():
    return next(read_frames(FRAMES)).rgb


def difference(a, b):
    return np.abs(a.astype(float) - b).mean()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_severity_is_further_from_the_picture(name, frame):
    changes = [difference(frame, corrupt(frame, name, s, seed=3)) for s in SEVERITIES]
    assert changes[0] > 0 and all(a < b for a, b in zip(changes, changes[1:], strict=False))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_seed_gives_the_same_picture(name, frame):
    before = frame.copy()
    first, second = (corrupt(frame, name, 3, seed=5) for _ in range(2))
    assert (first == second).all() and (frame == before).all()


@pytest.mark.parametrize("name", ["gaussian noise", "motion blur"])
def test_another_seed_gives_another_picture(name, frame):
    assert (corrupt(frame, name, 3, seed=5) != corrupt(frame, name, 3, seed=6)).any()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(CORRUPTIONS)),
    st.sampled_from(SEVERITIES),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 2**31),
)
def test_shape_and_type_are_kept(name, severity, height, width, seed):
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    result = corrupt(rgb, name, severity, seed)
    assert result.shape == rgb.shape and result.dtype == np.uint8
    assert not np.shares_memory(result, rgb)


@pytest.mark.parametrize("name", ["blur", "motion blur"])
def test_blur_changes_no_flat_picture(name):
    flat = np.full((20, 30, 3), 90, np.uint8)
    assert (corrupt(flat, name, 5, seed=0) == flat).all()


def test_noise_has_the_stated_strength():
    grey = np.full((200, 200, 3), 128, np.uint8)
    assert corrupt(grey, "gaussian noise", 1, 0).std() == pytest.approx(8, rel=0.05)


def test_darkness_keeps_the_order_of_values():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    assert (np.diff(corrupt(ramp, "darkness", 5, 0)[0, :, 0].astype(int)) >= 0).all()


@pytest.mark.parametrize("severity", [0, 6])
def test_other_severities_are_refused(severity, frame):
    with pytest.raises(ValueError, match="1 to 5"):
        corrupt(frame, "blur", severity, 0)
