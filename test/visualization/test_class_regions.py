# SPDX-License-Identifier: Apache-2.0
"""Regions of a segmentation against counting by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoiser_ros.visualization.class_regions import class_mask, class_regions


def test_regions_of_a_small_segmentation() -> None:
    labels = np.array([[0, 2, 2], [0, 255, 2]], np.uint8)
    confidence = np.array([[0.5, 0.2, 0.4], [1.0, 0.9, 0.6]], np.float32)
    first, second = class_regions(labels, confidence, 3)
    assert (first.id, first.pixel_count, first.confidence) == (0, 2, 0.75)
    assert (first.x, first.y, first.width, first.height) == (0, 0, 1, 2)
    assert (second.id, second.pixel_count, round(second.confidence, 6)) == (2, 3, 0.4)
    assert (second.x, second.y, second.width, second.height) == (1, 0, 2, 2)
    assert second.mask.tolist() == [[0, 255, 255], [0, 0, 255]]


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_regions_cover_what_is_labelled(seed: int, wide: bool) -> None:
    random = np.random.default_rng(seed)
    unlabeled, kind = (65535, np.uint16) if wide else (255, np.uint8)
    labels = random.choice([0, 1, 3, unlabeled], (5, 7)).astype(kind)
    confidence = random.random((5, 7), np.float32)
    regions = list(class_regions(labels, confidence, 4))
    assert [region.id for region in regions] == sorted(set(labels[labels < 4].tolist()))
    for region in regions:
        inside = labels == region.id
        assert region.pixel_count == inside.sum()
        assert abs(region.confidence - confidence[inside].mean()) < 1e-6
        np.testing.assert_array_equal(region.mask, np.where(inside, 255, 0))
        np.testing.assert_array_equal(region.mask, class_mask(labels, region.id))
        box = np.s_[region.y : region.y + region.height, region.x : region.x + region.width]
        assert inside[box].sum() == region.pixel_count
        assert inside[box].any(axis=0)[[0, -1]].all() and inside[box].any(axis=1)[[0, -1]].all()
