# SPDX-License-Identifier: Apache-2.0
"""`dinoiser doctor`: look around, test, report."""

from __future__ import annotations

import argparse

from dinoiser_ros.utils.sentences import sentence_of

from . import machine, packages, ros_setup, self_test, storage
from .findings import FAULT, Finding, report

DESCRIPTION = """What this machine has, what 'auto' chooses on it and why, and a test of the
embedded model. The output is what a bug report needs.

The exit status is 1 if something keeps the node from working."""

_SECTIONS = (
    ("machine", machine.processor),
    ("GPU", machine.gpu),
    ("what auto chooses", machine.choices),
    ("packages", lambda: [*packages.versions(), packages.bridge()]),
    ("ROS", ros_setup.ros),
    ("files", storage.storage),
    ("self-test", self_test.self_test),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has none."""


def run(options: argparse.Namespace) -> int:
    """Print the report; returns the exit status."""
    sections: list[tuple[str, list[Finding]]] = []
    for title, look in _SECTIONS:
        try:
            found = look()
        except Exception as error:  # a doctor that fails is of no use to anybody
            found = [Finding(title, sentence_of(error), FAULT)]
        sections.append((title, found))
    print(report(sections))
    return int(any(entry.level == FAULT for _, found in sections for entry in found))
