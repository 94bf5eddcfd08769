# SPDX-License-Identifier: Apache-2.0
"""The processor's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from dinoiser_ros.utils.processor import processor_name


def test_the_processor_has_the_name_that_the_system_gives_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: A: B\nprocessor\t: 1\nmodel name\t: C\n")
    assert processor_name(str(cpuinfo)) == "A: B"
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert processor_name(str(tmp_path / "missing")) == "aarch64"
