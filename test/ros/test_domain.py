# SPDX-License-Identifier: Apache-2.0
"""Tests and benchmarks that run at the same time never hear each other."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from dinoiser_ros.ros import domain as ros_domain

HOLD = "from dinoiser_ros.ros.domain import own_domain; print(own_domain(), flush=True); input()"


@pytest.fixture
def start_at(monkeypatch: pytest.MonkeyPatch):
    """Ask anew, for a domain that is tried first."""
    taken: list[int] = []
    lock = ros_domain._lock

    def noted(domain: int) -> int | None:
        got = lock(domain)
        taken.extend([] if got is None else [got])
        return got

    def ask(domain: int) -> int:
        pid = domain - ros_domain._DOMAINS[0] + len(ros_domain._DOMAINS)
        monkeypatch.setattr(ros_domain.os, "getpid", lambda: pid)
        before = len(taken)
        domain = ros_domain.own_domain.__wrapped__()
        del taken[before:-1]  # of domains that were not free after all: closed already
        return domain

    monkeypatch.setattr(ros_domain, "_lock", noted)
    yield ask
    for descriptor in taken:
        os.close(descriptor)


def test_a_domain_belongs_to_one_process_until_it_ends(start_at) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        domain = int(other.stdout.readline())
        assert domain in ros_domain._DOMAINS
        assert start_at(domain) != domain
        other.communicate("\n", timeout=60)
    assert ros_domain._lock(domain) is not None


def test_a_domain_with_foreign_programs_is_left_alone(start_at) -> None:
    free = start_at(50)
    for port in (7400 + 250 * free, 7410 + 250 * free):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as foreign:
            foreign.bind(("", port))
            assert ros_domain._has_participants(free)
    assert not ros_domain._has_participants(free)


def test_a_process_keeps_its_domain() -> None:
    assert ros_domain.own_domain() == ros_domain.own_domain()
    ros_domain.isolate_ros()
    assert os.environ["ROS_DOMAIN_ID"] == str(ros_domain.own_domain())
