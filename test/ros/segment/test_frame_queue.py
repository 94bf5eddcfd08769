# SPDX-License-Identifier: Apache-2.0
"""Where frames wait: the newest wins, calls go first, a rate is kept, cameras do not wait."""

from __future__ import annotations

import threading

import pytest

from dinoiser_ros.ros.segment.frame_queue import Inbox


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
    inbox = Inbox(1, clock)
    assert [inbox.put(0, frame) for frame in "abc"] == [None, "a", "b"]
    assert inbox.take(no_limit) == ([], [(0, "c")])
    assert inbox.put(0, "d") is None


def test_frames_of_all_cameras_are_taken_together(clock: Clock) -> None:
    inbox = Inbox(3, clock)
    inbox.put(2, "right")
    inbox.put(0, "left")
    assert inbox.take(no_limit) == ([], [(0, "left"), (2, "right")])


def test_calls_go_before_frames_and_close_lets_them_run(clock: Clock) -> None:
    inbox = Inbox(1, clock)
    inbox.put(0, "a")
    assert inbox.call(print)
    inbox.close()
    assert not inbox.call(print)
    assert inbox.take(no_limit) == ([print], [])
    assert inbox.take(no_limit) is None


def test_rate_is_kept_for_each_camera(clock: Clock) -> None:
    inbox = Inbox(2, clock)
    taken = []
    for tick in range(100):  # 10 seconds of 10 Hz, at most 4 Hz
        clock.now = 100.0 + tick / 10
        inbox.put(0, tick)
        inbox.call(print)  # so that take never waits
        while True:
            calls, frames = inbox.take(lambda: 0.25)
            taken += [clock.now for _ in frames]
            if not calls:
                break
            if inbox._places[0].frame is None or clock.now < inbox._places[0].not_before:
                break
    assert 38 <= len(taken) <= 41
    assert min(b - a for a, b in zip(taken, taken[1:], strict=False)) > 0.19


def test_a_waiting_take_is_woken(clock: Clock) -> None:
    inbox = Inbox(1, clock)
    result = []
    thread = threading.Thread(target=lambda: result.append(inbox.take(no_limit)))
    thread.start()
    inbox.put(0, "a")
    thread.join(10)
    assert result == [([], [(0, "a")])]


def test_a_pause_forgets_frames_but_not_calls(clock: Clock) -> None:
    inbox = Inbox(2, clock)
    inbox.put(1, "a")
    assert inbox.pause() == [1]
    assert inbox.put(0, "b") == "b", "it is told that nobody will take it"
    inbox.call(print)
    assert inbox.take(no_limit) == ([print], [])
    inbox.resume()
    inbox.put(0, "c")
    assert inbox.take(no_limit) == ([], [(0, "c")])
