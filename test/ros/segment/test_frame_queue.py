# SPDX-License-Identifier: Apache-2.0
"""Where frames wait: the newest wins, calls go first, a rate is kept, cameras do not wait."""

from __future__ import annotations

import threading

import pytest

from dinoiser_ros.ros.segment.inference.frame_queue import FrameQueue


class Clock:
    """Seconds that only the test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def no_limit() -> float:
    return 0.0


def test_the_newest_frame_wins(clock: Clock) -> None:
    queue = FrameQueue(1, clock)
    assert [queue.put(0, frame) for frame in "abc"] == [None, "a", "b"]
    assert queue.take(no_limit) == ([], [(0, "c")])
    assert queue.put(0, "d") is None


def test_frames_of_all_cameras_are_taken_together(clock: Clock) -> None:
    queue = FrameQueue(3, clock)
    queue.put(2, "right")
    queue.put(0, "left")
    assert queue.take(no_limit) == ([], [(0, "left"), (2, "right")])


def test_calls_go_before_frames_and_close_lets_them_run(clock: Clock) -> None:
    queue = FrameQueue(1, clock)
    queue.put(0, "a")
    assert queue.call(print)
    queue.close()
    assert not queue.call(print)
    assert queue.take(no_limit) == ([print], [])
    assert queue.take(no_limit) is None


def test_rate_is_kept_for_each_camera(clock: Clock) -> None:
    queue = FrameQueue(2, clock)
    taken = []
    for tick in range(100):  # 10 seconds of 10 Hz, at most 4 Hz
        clock.now = 100.0 + tick / 10
        queue.put(0, tick)
        queue.call(print)  # so that take never waits
        while True:
            calls, frames = queue.take(lambda: 0.25)
            taken += [clock.now for _ in frames]
            if not calls:
                break
            if queue._places[0].frame is None or clock.now < queue._places[0].not_before:
                break
    assert 38 <= len(taken) <= 41
    assert min(b - a for a, b in zip(taken, taken[1:], strict=False)) > 0.19


def test_a_waiting_take_is_woken(clock: Clock) -> None:
    queue = FrameQueue(1, clock)
    result = []
    thread = threading.Thread(target=lambda: result.append(queue.take(no_limit)))
    thread.start()
    queue.put(0, "a")
    thread.join(10)
    assert result == [([], [(0, "a")])]


def test_a_pause_forgets_frames_but_not_calls(clock: Clock) -> None:
    queue = FrameQueue(2, clock)
    queue.put(1, "a")
    assert queue.pause() == [1]
    assert queue.put(0, "b") == "b", "it is told that nobody will take it"
    queue.call(print)
    assert queue.take(no_limit) == ([print], [])
    queue.resume()
    queue.put(0, "c")
    assert queue.take(no_limit) == ([], [(0, "c")])
