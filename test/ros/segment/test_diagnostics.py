# SPDX-License-Identifier: Apache-2.0
"""Levels and sentences of /diagnostics, from counters with made-up times."""

from __future__ import annotations

import math

import pytest
from builtin_interfaces.msg import Time
from ros_helpers import diagnostic

from dinoiser_ros.ros.segment.monitoring.diagnostics import NodeReport, diagnostics_message
from dinoiser_ros.ros.segment.monitoring.statistics import CameraStatistics, quantile

OK, WARN, ERROR, STALE = range(4)
SETTINGS = {"warn_latency": 2.0, "warn_drop_ratio": 0.9, "stalled_after": 5.0}


def status(
    statistics: CameraStatistics, now: float, state: str = "active"
) -> tuple[int, str, dict[str, str]]:
    report = NodeReport("/front/dinoiser", state, "", False, {})
    message = diagnostics_message(Time(), report, [("/image", statistics)], SETTINGS, now)
    return diagnostic([message], "/image")


def stream(seconds: float, rate: float = 10.0, latency: float = 0.1) -> CameraStatistics:
    """Counters of a camera that has been served from 0 s to `seconds`."""
    statistics = CameraStatistics(0.0)
    for index in range(int(seconds * rate)):
        now = index / rate
        statistics.received(now)
        statistics.wanted(now)
        statistics.published(now, latency=latency, inference=0.08, conversion=0.001, overhead=0.002)
    return statistics


def test_a_served_camera_is_ok_and_measured() -> None:
    level, text, values = status(stream(8.0), 8.0)
    assert (level, text) == (OK, "segmenting")
    assert float(values["rate_in_hz"]) == pytest.approx(10, abs=0.2)
    assert float(values["rate_out_hz"]) == pytest.approx(10, abs=0.2)
    assert float(values["latency_p95_ms"]) == pytest.approx(100)
    assert float(values["inference_median_ms"]) == pytest.approx(80)
    assert values["received"] == values["published"] == "80"


def test_late_masks_are_a_warning() -> None:
    level, text, _ = status(stream(8.0, latency=2.5), 8.0)
    assert level == WARN and "p95 2.50 s" in text and "inference_size" in text


def test_dropped_frames_are_a_warning_beyond_the_threshold() -> None:
    statistics = stream(8.0, rate=1.0)
    for index in range(72):
        statistics.received(index / 10)
        statistics.dropped(index / 10)
    assert status(statistics, 8.0)[0] == OK  # 72 of 80 are 90 %, not more
    for _ in range(10):
        statistics.received(7.5)
        statistics.dropped(7.5)
    level, text, _ = status(statistics, 8.0)
    assert level == WARN and "dropped" in text


def test_bad_messages_are_a_warning_for_a_while() -> None:
    statistics = stream(8.0)
    statistics.bad("size", 7.0)
    level, text, values = status(statistics, 8.0)
    assert (level, values["bad_size"]) == (WARN, "1") and "see the log" in text
    for now in range(8, 20):
        statistics.received(now)
        statistics.wanted(now)
        statistics.published(now, latency=None, inference=0.1, conversion=0.0, overhead=0.0)
    assert status(statistics, 19.0)[0] == OK


def test_nothing_published_while_images_arrive_is_an_error() -> None:
    statistics = stream(8.0)
    for index in range(60):
        statistics.received(8 + index / 10)
        statistics.wanted(8 + index / 10)
    assert status(statistics, 12.0)[0] == OK
    level, text, _ = status(statistics, 13.9)
    assert level == ERROR and "nothing was published for 6 s" in text


def test_a_silent_camera_is_stale() -> None:
    level, text, _ = status(stream(8.0), 14.0)
    assert level == STALE and "no image arrives on /image" in text
    assert status(CameraStatistics(0.0), 4.0)[0] == OK  # it may still be starting
    assert status(CameraStatistics(0.0), 6.0)[0] == STALE


def test_an_inactive_node_blames_no_camera() -> None:
    assert status(stream(8.0), 100.0, "inactive")[:2] == (OK, "inactive")


def test_without_subscribers_it_is_idle() -> None:
    statistics = CameraStatistics(0.0)
    for now in range(10):
        statistics.received(now)
        statistics.idle()
    level, text, values = status(statistics, 9.5)
    assert level == OK and "nobody subscribes" in text
    assert (values["not_wanted"], values["latency_median_ms"]) == ("10", "-")


def test_a_failed_transition_is_an_error_of_the_node() -> None:
    report = NodeReport("/dinoiser", "unconfigured", "no weights", True, {"model": "demo"})
    level, text, values = diagnostic([diagnostics_message(Time(), report, [], {}, 0.0)], "node")
    assert (level, text) == (ERROR, "unconfigured: no weights")
    assert (values["model"], values["last_error"]) == ("demo", "no weights")
    assert float(values["memory_mb"]) > 1


def test_quantile() -> None:
    assert math.isnan(quantile([], 0.5))
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile(list(map(float, range(100))), 0.95) == 95.0


def test_images_of_another_world_are_a_warning() -> None:
    statistics = stream(8.0)
    for _ in range(6):
        assert statistics.familiar(False)
    assert not statistics.familiar(False)
    statistics.notice = "the images do not show the simulated world"
    assert status(statistics, 8.0)[:2] == (WARN, statistics.notice)
    assert status(statistics, 20.0)[0] == STALE  # what is worse is said first
