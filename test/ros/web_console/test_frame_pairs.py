# SPDX-License-Identifier: Apache-2.0
"""Images, masks and confidences are brought together by their stamps, whatever order they have."""

from __future__ import annotations

from dinoiser_ros.ros.web_console.frame_pairs import MOST_BYTES, MOST_IMAGES, FramePairs


def with_masks() -> FramePairs:
    """A camera whose masks come: one has come at time 0."""
    pairs = FramePairs()
    assert pairs.image(1, "image 1", 10, -0.2) == ("image 1", None, None)
    assert pairs.mask(1, "mask 1", 0.0, with_confidence=False) == ("image 1", "mask 1", None)
    return pairs


def test_what_belongs_together_comes_out_together() -> None:
    pairs = with_masks()
    for stamp in (2, 3, 4):
        assert pairs.image(stamp, f"image {stamp}", 10, 0.1) is None
    assert pairs.mask(3, "mask 3", 0.2, with_confidence=True) is None
    assert pairs.confidence(3, "confidence 3") == ("image 3", "mask 3", "confidence 3")
    assert pairs.mask(2, "mask 2", 0.3, with_confidence=False) is None  # gone with image 3
    assert pairs.mask(4, "mask 4", 0.3, with_confidence=False) == ("image 4", "mask 4", None)


def test_a_mask_may_come_after_its_confidence_and_before_its_image() -> None:
    pairs = with_masks()
    assert pairs.confidence(2, "confidence 2") is None
    assert pairs.mask(2, "mask 2", 0.1, with_confidence=True) is None
    assert pairs.image(2, "image 2", 10, 0.2) == ("image 2", "mask 2", "confidence 2")


def test_a_lost_confidence_costs_no_mask() -> None:
    pairs = with_masks()
    pairs.image(2, "image 2", 10, 0.1)
    pairs.image(3, "image 3", 10, 0.2)
    assert pairs.mask(2, "mask 2", 0.3, with_confidence=True) is None
    assert pairs.mask(3, "mask 3", 0.4, with_confidence=True) == ("image 2", "mask 2", None)
    assert pairs.confidence(3, "confidence 3") == ("image 3", "mask 3", "confidence 3")


def test_images_are_shown_alone_where_no_mask_comes_any_more() -> None:
    pairs = with_masks()
    assert pairs.image(2, "image 2", 10, 1.9) is None
    assert pairs.image(3, "image 3", 10, 2.1) == ("image 3", None, None)


def test_a_slow_method_is_waited_for() -> None:
    pairs = with_masks()
    pairs.image(2, "image 2", 10, 1.0)
    pairs.mask(2, "mask 2", 10.0, with_confidence=False)
    assert pairs.image(3, "image 3", 10, 39.0) is None
    assert pairs.image(4, "image 4", 10, 41.0) is not None


def test_images_that_wait_are_few_and_take_little_memory() -> None:
    pairs = with_masks()
    for stamp in range(2, 2 + 2 * MOST_IMAGES):
        pairs.image(stamp, "image", 10, 0.1)
    assert pairs.mask(2, "mask", 0.2, with_confidence=False) is None
    assert pairs.mask(2 * MOST_IMAGES, "mask", 0.2, with_confidence=False) is not None
    pairs.image(1001, "huge", MOST_BYTES, 0.3)
    pairs.image(1002, "huge", MOST_BYTES, 0.3)
    pairs.image(1002, "the same stamp again", 10, 0.3)
    assert pairs.mask(1001, "mask", 0.4, with_confidence=False) is None
    assert pairs.mask(1002, "mask", 0.4, with_confidence=False) == (
        "the same stamp again",
        "mask",
        None,
    )
