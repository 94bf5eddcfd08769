# SPDX-License-Identifier: Apache-2.0
"""Executables whose reader has gone, as in `dinoiser --help | head -1`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dinoiser_ros.utils.closed_output import CLOSED_PIPE


@pytest.mark.parametrize(
    "command",
    [
        ["cli", "--help"],
        ["ros.segment.main", "--help"],
        ["ros.tools.image_source", "--help"],
    ],
)
def test_nothing_is_said_when_the_reader_has_gone(command: list[str]) -> None:
    module, *arguments = command
    end, start = os.pipe()
    os.close(end)
    done = subprocess.run(
        [sys.executable, "-m", f"dinoiser_ros.{module}", *arguments],
        stdout=start, stderr=subprocess.PIPE, text=True, timeout=300,
        env={**os.environ, "PYTHONUNBUFFERED": ""},  # by default a pipe is buffered
    )  # fmt: skip
    os.close(start)
    assert (done.returncode, done.stderr) == (CLOSED_PIPE, "")
