# SPDX-License-Identifier: Apache-2.0
"""Colours, overlay and legend."""

from __future__ import annotations

import numpy as np
import pytest

from dinoiser_ros.segmentation import Segmentation, SegmentationClass
from dinoiser_ros.visualization.overlay import (
    _font,
    _largest,
    _shortened,
    colour_labels,
    overlay,
    palette,
)


def segmentation(labels: np.ndarray, classes: int, unlabeled: int = 255) -> Segmentation:
    named = tuple(SegmentationClass(i, f"class {i}", (f"class {i}",)) for i in range(classes))
    return Segmentation(labels, np.ones(labels.shape, np.float32), named, unlabeled)


def test_colours_are_distinct_and_stable():
    colours = palette(40)
    assert len({tuple(c) for c in colours.tolist()}) == 40
    np.testing.assert_array_equal(palette(5), colours[:5])


@pytest.mark.parametrize(("kind", "unlabeled"), [(np.uint8, 255), (np.uint16, 65535)])
def test_labels_are_painted(kind, unlabeled):
    labels = np.array([[0, 1], [2, unlabeled]], kind)
    painted = colour_labels(segmentation(labels, 3, unlabeled))
    np.testing.assert_array_equal(painted.reshape(4, 3)[:3], palette(3))
    assert tuple(painted[1, 1]) == (40, 40, 40)


def test_colours_and_names_follow_ids_whatever_the_order() -> None:
    """A class that keeps its id keeps its colour, too."""
    labels = np.full((120, 160), 200, np.uint8)
    labels[:20], labels[20:40] = 7, 255
    named = [SegmentationClass(7, "person", ("person",)), SegmentationClass(200, "floor", ("x",))]
    image = np.zeros((120, 160, 3), np.uint8)
    results = [
        Segmentation(labels, np.ones(labels.shape, np.float32), tuple(classes), 255)
        for classes in (named, named[::-1])
    ]
    for result in results:
        painted = colour_labels(result)
        assert (painted[:20] == palette(8)[7]).all() and (painted[40:] == palette(201)[200]).all()
        assert (painted[20:40] == 40).all()
        assert _largest(result, 5) == ([7, 200], 0)
    np.testing.assert_array_equal(*(overlay(image, result) for result in results))


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_overlay_blends(alpha):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (30, 40, 3), np.uint8)
    result = segmentation(rng.integers(0, 4, (30, 40), np.uint8), 4)
    got = overlay(image, result, alpha, legend=False)
    wanted = (1 - alpha) * image + alpha * colour_labels(result)
    assert np.abs(got - wanted).max() <= 2
    assert got.dtype == np.uint8


def test_legend_names_the_largest_classes():
    labels = np.zeros((120, 160), np.uint8)
    labels[:20] = 2
    image = np.zeros((120, 160, 3), np.uint8)
    picture = overlay(image, segmentation(labels, 300, 65535), alpha=0.5)
    plain = overlay(image, segmentation(labels, 300, 65535), alpha=0.5, legend=False)
    changed = np.argwhere((picture != plain).any(axis=2))
    assert len(changed) and changed.max(axis=0)[0] < 40, "two lines in the upper left corner"
    white = (picture > 200).all(axis=2)
    assert white[:40, :100].any(), "names are written"


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (300, 2)])
def test_tiny_pictures(size):
    image = np.zeros((*size, 3), np.uint8)
    assert overlay(image, segmentation(np.zeros(size, np.uint8), 2)).shape == image.shape


def test_nothing_labeled():
    image = np.full((20, 20, 3), 100, np.uint8)
    result = segmentation(np.full((20, 20), 255, np.uint8), 2)
    assert (overlay(image, result, 1.0) == 40).all()


def test_legend_leaves_out_specks_and_what_has_no_room():
    labels = np.repeat(np.arange(40, dtype=np.uint8), 160 * 3).reshape(120, 160)
    result = segmentation(labels, 60)
    present, hidden = _largest(result, 5)
    assert present == [0, 1, 2, 3] and hidden == 36
    labels[:] = 7
    labels[0, :3] = 2
    assert _largest(result, 5) == ([7], 0)
    image = np.zeros((120, 160, 3), np.uint8)
    changed = overlay(image, result) != overlay(image, result, legend=False)
    assert np.argwhere(changed)[:, 0].max() < 20, "one line"


def test_long_names_are_shortened():
    name = "a very long name of a class that has no end and does not fit"
    assert _shortened(name, _font(12), 1000) == name
    short = _shortened(name, _font(12), 100)
    assert short.startswith("a very") and short.endswith("...")
    assert _font(12).getlength(short) <= 100
    assert _shortened(name, _font(12), 3) == ""
