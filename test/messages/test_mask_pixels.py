# SPDX-License-Identifier: Apache-2.0
"""Masks with other ids and at other sizes, against doing it pixel by pixel."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinoiser_ros.messages.mask_pixels import id_table, resize_nearest, with_ids


@pytest.mark.parametrize("unlabeled", [255, 65535])
@pytest.mark.parametrize("opencv", [True, False])
def test_ids_take_the_place_of_positions(
    unlabeled: int, opencv: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not opencv:
        monkeypatch.setitem(sys.modules, "cv2", None)
    ids = [7, 0, 254, 1]
    table = id_table(ids, unlabeled)
    labels = np.random.default_rng(0).choice([0, 1, 2, 3, unlabeled], (5, 7)).astype(table.dtype)
    found = with_ids(labels, table)
    assert found.dtype == labels.dtype == (np.uint8 if unlabeled == 255 else np.uint16)
    meant = {**dict(enumerate(ids)), unlabeled: unlabeled}
    assert found.tolist() == [[meant[label] for label in row] for row in labels.tolist()]


def test_positions_need_no_table() -> None:
    assert id_table([0, 1, 2], 255) is None
    assert id_table([0, 2, 1], 255) is not None


sides = st.integers(1, 20)


@given(sides, sides, sides, sides)
def test_a_pixel_is_that_of_the_image_in_its_middle(h: int, w: int, new_h: int, new_w: int) -> None:
    pixels = np.arange(h * w, dtype=np.uint16).reshape(h, w)
    resized = resize_nearest(pixels, new_h, new_w)
    assert resized.shape == (new_h, new_w) and resized.dtype == pixels.dtype
    for row in range(new_h):
        for column in range(new_w):
            expected = pixels[int((row + 0.5) * h / new_h), int((column + 0.5) * w / new_w)]
            assert resized[row, column] == expected


def test_the_images_own_size_copies_nothing() -> None:
    pixels = np.zeros((3, 4), np.uint8)
    assert resize_nearest(pixels, 3, 4) is pixels
