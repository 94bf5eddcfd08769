# SPDX-License-Identifier: Apache-2.0
"""CameraInfo to a camera: rectified or not, binned, cut, and what is refused by name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dinoiser_ros.errors import CameraInfoError
from dinoiser_ros.geometry.camera_model import CameraModel
from dinoiser_ros.messages.camera_info import camera_from_message

PLUMB_BOB = [-0.3, 0.1, 0.001, 0.002, 0.0]


def info(**changes: Any) -> Any:
    """A sensor_msgs/CameraInfo whose P differs from its K."""
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
    message = SimpleNamespace(
        width=640,
        height=480,
        distortion_model="plumb_bob",
        d=PLUMB_BOB,
        k=[500.0, 0.0, 320.0, 0.0, 510.0, 240.0, 0.0, 0.0, 1.0],
        p=[450.0, 0.0, 310.0, 0.0, 0.0, 460.0, 230.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        binning_x=0,
        binning_y=0,
        roi=roi,
    )
    vars(message).update(changes)
    return message


def test_raw_images_have_k_and_the_distortion_rectified_ones_p_and_none() -> None:
    raw = camera_from_message(info(), rectified=False)
    assert raw == CameraModel(640, 480, 500, 510, 320, 240, "plumb_bob", tuple(PLUMB_BOB))
    rectified = camera_from_message(info(d=[float("nan")]), rectified=True)
    assert rectified == CameraModel(640, 480, 450, 460, 310, 230)


@pytest.mark.parametrize("model", ["plumb_bob", "rational_polynomial", "", "unknown"])
def test_zero_distortion_is_none_whatever_it_is_called(model: str) -> None:
    for d in ([], [0.0] * 5):
        camera = camera_from_message(info(distortion_model=model, d=d), rectified=False)
        assert camera.distortion == ""


def test_a_fisheye_without_coefficients_is_still_a_fisheye() -> None:
    camera = camera_from_message(info(distortion_model="equidistant", d=[]), rectified=False)
    assert (camera.distortion, camera.coefficients) == ("equidistant", (0.0,) * 4)


def test_binning_and_region_of_interest() -> None:
    roi = SimpleNamespace(x_offset=100, y_offset=40, width=400, height=320)
    camera = camera_from_message(info(roi=roi, binning_x=2, binning_y=2), rectified=True)
    assert (camera.width, camera.height, camera.fx, camera.fy) == (200, 160, 225, 230)
    assert (camera.cx, camera.cy) == ((310 - 100 + 0.5) / 2 - 0.5, (230 - 40 + 0.5) / 2 - 0.5)


@pytest.mark.parametrize(
    ("changes", "rectified", "words"),
    [
        ({"width": 0}, False, "0x480"),
        ({"k": [0.0] * 9}, False, "in K"),
        ({"p": [0.0] * 12}, True, "in P"),
        ({"k": [float("nan")] * 9}, False, "calibrate"),
        ({"k": [-500.0, 0, 320.0, 0, 510.0, 240.0, 0, 0, 1.0]}, False, "calibrate"),
        ({"distortion_model": "fov"}, False, "'fov' is not known"),
        ({"d": [0.1, 0.2]}, False, "4 or 5"),
        ({"d": [0.1, float("inf"), 0, 0, 0]}, False, "finite"),
        ({"distortion_model": "rational_polynomial"}, False, "8 or 12 or 14"),
    ],
)
def test_what_no_point_can_be_computed_with_is_refused(
    changes: dict[str, Any], rectified: bool, words: str
) -> None:
    with pytest.raises(CameraInfoError, match=words):
        camera_from_message(info(**changes), rectified)
