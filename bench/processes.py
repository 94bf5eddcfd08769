# SPDX-License-Identifier: Apache-2.0
"""Processes that a benchmark starts: the node under test, and the benchmark's own helpers."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

_PATIENCE = 10.0  # seconds that a process gets to end after a signal
_PR_SET_PDEATHSIG = 1


def make_room_for_images() -> None:
    """Give all processes of this run shared memory in which several images find room.

    Without it Fast DDS loses most images of 0.9 MB where both cores are busy. Another middleware
    ignores it.
    """
    old = os.environ.get("ROS_DISTRO") in ("humble", "iron", "jazzy")
    profiles = Path(__file__).resolve().parent.parent / "config" / "fastdds_images.xml"
    os.environ[f"FAST{'RTPS' if old else 'DDS'}_DEFAULT_PROFILES_FILE"] = str(profiles)


class Helper:
    """A module of bench/ in a process of its own; ends with this one, whatever happens to it.

    Args:
        module: its name; bench/ is in PYTHONPATH.
        arguments: of its command line.
        pipes: further arguments of `subprocess.Popen`, such as `stdin`.
    """

    def __init__(self, module: str, arguments: Sequence[str] = (), **pipes: Any) -> None:
        # From the root of the repository, python3 -m would find the sources before the package.
        command = [sys.executable, "-m", module, *arguments]
        self.process = _start(command, cwd=Path(__file__).parent, **pipes)

    def stop(self) -> None:
        """End it."""
        _end(self.process)


class NodeUnderTest:
    """The installed `segment_node`, as a user starts it.

    Args:
        parameters: ROS parameters by name.

    Attributes:
        process: its process.
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        from ament_index_python.packages import get_package_prefix

        executable = Path(get_package_prefix("dinoiser_ros"), "lib/dinoiser_ros/segment_node")
        self._folder = tempfile.TemporaryDirectory(prefix="dinoiser_bench_")
        file = Path(self._folder.name, "parameters.yaml")
        file.write_text(_parameters_file(parameters), encoding="utf-8")
        self._log_file: IO[str] = open(Path(self._folder.name, "log"), "w+", encoding="utf-8")  # noqa: SIM115
        command = [sys.executable, str(executable), "--ros-args", "--params-file", str(file)]
        self.process = _start(command, stdout=self._log_file, stderr=subprocess.STDOUT)

    @property
    def crashed(self) -> bool:
        """Whether the process has ended, which nobody asked it to."""
        return self.process.poll() is not None

    def log(self) -> str:
        """What it has written so far."""
        self._log_file.flush()
        return Path(self._log_file.name).read_text(encoding="utf-8", errors="replace")

    def memory_mb(self) -> float | None:
        """Resident memory in MB, None if the process is gone."""
        try:
            statm = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii")
        except OSError:
            return None
        return int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def stop(self) -> int:
        """End it as Ctrl-C does; returns the exit status (0 for a clean end)."""
        return _end(self.process)

    def close(self) -> None:
        """End it if it still runs, and remove its files."""
        _end(self.process)
        self._log_file.close()
        self._folder.cleanup()


def _start(command: Sequence[str], **pipes: Any) -> subprocess.Popen[Any]:
    return subprocess.Popen(
        command,
        # Ctrl-C reaches the benchmark only, which ends the others in order.
        start_new_session=True,
        preexec_fn=_die_with_parent,
        **pipes,
    )


def _end(process: subprocess.Popen[Any]) -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            break
        process.send_signal(number)
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            continue
    return process.wait()


def _die_with_parent() -> None:
    """Linux: get SIGTERM when the parent is gone, even if it was killed."""
    # Suppressed: on another system the parent's own clean-up has to do.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _parameters_file(parameters: Mapping[str, Any]) -> str:
    import yaml

    return yaml.safe_dump({"/**": {"ros__parameters": dict(parameters)}}, allow_unicode=True)
