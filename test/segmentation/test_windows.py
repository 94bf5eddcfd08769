# SPDX-License-Identifier: Apache-2.0
"""Windows of images are segmented at the scale of the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinoiser_ros.segmentation import ImageError, Segmenter
from dinoiser_ros.segmentation.pixels.preprocess import (
    inference_shape,
    window_length,
    window_shape,
)


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@given(
    st.integers(100, 3000), st.integers(100, 3000), st.floats(0.1, 1.0),
    st.none() | st.integers(64, 1000), st.sampled_from([1, 8, 14, 16]),
)  # fmt: skip
def test_a_window_has_whole_patches_and_about_its_share(height, width, share, shorter, patch):
    whole, axis = (height, width), int(width >= height)
    side = max(inference_shape(whole, shorter))
    length = window_length(whole, share, shorter, patch)
    assert 1 <= length <= max(whole)
    cut = (length, width) if axis == 0 else (height, length)
    shape = window_shape(cut, whole, shorter, patch)
    assert shape[1 - axis] == inference_shape(whole, shorter)[1 - axis]
    if length < max(whole):
        assert shape[axis] % patch == 0
        # Half a patch of rounding, and a pixel of the image, which may be many at inference.
        wanted = max(patch, share * side)
        assert abs(shape[axis] - wanted) <= patch / 2 + side / max(whole)
    else:
        assert shape == inference_shape(whole, shorter)


def test_a_window_is_not_larger_than_its_image():
    with pytest.raises(ImageError, match="not part of an image"):
        window_shape((20, 30), (20, 29), None, 16)


def test_a_window_is_scaled_as_the_image_would_be(golden: Segmenter):
    """120x160 goes to the network as 64x85, so that half of it is 64x48, three patches wide."""
    golden.inference_size = 64
    length = golden.window_length((120, 160), 0.5)
    part = picture(120, 160)[:, :length]
    found = golden.segment_batch([part, part], (120, 160))[1]
    assert part.shape == (120, 90, 3)
    golden.inference_size = 48
    alone = golden.segment(part)
    np.testing.assert_array_equal(found.labels, alone.labels)
    np.testing.assert_allclose(found.confidence, alone.confidence, atol=1e-5)


def test_all_of_an_image_is_no_window(golden: Segmenter):
    image = picture(61, 83)
    whole, alone = golden.segment_batch([image], (61, 83))[0], golden.segment(image)
    np.testing.assert_array_equal(whole.labels, alone.labels)
    np.testing.assert_array_equal(whole.confidence, alone.confidence)
