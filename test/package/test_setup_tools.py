# SPDX-License-Identifier: Apache-2.0
"""The set-up that make runs before everything else."""

from __future__ import annotations

import http.server
import importlib.util
import io
import os
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from paths import ROOT


def tool(name: str) -> ModuleType:
    """A module of tools/."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def setup_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The set-up tool, working on an empty folder and without ROS."""
    module = tool("setup_env")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "STAMPS", tmp_path / ".venv" / "stamps")
    monkeypatch.setattr(module, "ROS_DISTRO", "")
    monkeypatch.delenv("PYTHON", raising=False)
    return module


def test_wheels_are_patched_once(tmp_path: Path) -> None:
    patch = tool("patch_ros_wheels")
    file = tmp_path / "share" / "sensor_msgs" / "cmake" / "export.cmake"
    file.parent.mkdir(parents=True)
    text = '  INCLUDES "{};{}"\n'
    built = "/opt/python/cp312-cp312"
    file.write_text(
        text.format(
            f"{built}/include/python3.12",
            f"{built}/lib/python3.12/site-packages/numpy/_core/include",
        )
    )
    assert patch.patch_prefix(tmp_path, "/py/include", "/np/include") == 1
    assert file.read_text() == text.format("/py/include", "/np/include")
    assert patch.patch_prefix(tmp_path, "/py/include", "/np/include") == 0


def test_another_platform_is_told_what_to_do(
    setup_env: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup_env.platform, "machine", lambda: "aarch64")
    with pytest.raises(setup_env.SetupError, match="x86-64 only.*install ROS 2, source it"):
        setup_env.find_python()


def test_an_unsupported_python_is_told_what_to_do(
    setup_env: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup_env, "version_of", lambda python: "CPython 3.9")
    with pytest.raises(setup_env.SetupError, match="no CPython 3.10 to 3.13 found.*python3-venv"):
        setup_env.find_python()


def test_the_interpreter_is_found(setup_env: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON", sys.executable)
    version = "{}.{}".format(*sys.version_info[:2])
    assert setup_env.find_python() == (sys.executable, version)


def test_a_ros_without_rclpy_is_told_what_to_do(
    setup_env: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup_env, "ROS_DISTRO", "jazzy")
    with pytest.raises(setup_env.SetupError, match="ros-jazzy-rclpy"):
        setup_env.find_python_of_ros("/nonexistent/python3")


def test_a_step_is_repeated_when_its_input_changes(setup_env: ModuleType, tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("numpy\n")
    key = setup_env.digest("venv", requirements)
    assert not setup_env.is_done("packages", key)
    setup_env.mark_done("packages", key)
    assert setup_env.is_done("packages", setup_env.digest("venv", requirements))
    requirements.write_text("numpy>=2\n")
    assert not setup_env.is_done("packages", setup_env.digest("venv", requirements))


def test_what_documents_need_is_installed_once(
    setup_env: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".venv").mkdir()
    requirements = tmp_path / "requirements-docs.txt"
    requirements.write_text("mkdocs\n")
    commands: list[list[object]] = []
    monkeypatch.setattr(setup_env, "run", lambda command, what: commands.append(command))
    setup_env.install_docs("venv")
    setup_env.install_docs("venv")
    assert [command[-2:] for command in commands] == [["-r", requirements]]
    requirements.write_text("mkdocs>=1.6\n")
    setup_env.install_docs("venv")
    assert len(commands) == 2


def wheel(name: str) -> bytes:
    """A package without content."""
    info = f"{name}-2.9.0+cpu.dist-info"
    files = {
        f"{name}/__init__.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.9.0+cpu\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as file:
        for path, text in files.items():
            file.writestr(path, text)
        rows = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
        file.writestr(f"{info}/RECORD", rows)
    return written.getvalue()


@pytest.fixture
def index() -> Iterator[str]:
    """A package index on this machine; below /empty/ it has no torch."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            *above, folder, name = self.path.split("/")
            page = f"<a href='{folder}-2.9.0%2Bcpu-py3-none-any.whl'>a wheel</a>".encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/zip" if name else "text/html")
            self.end_headers()
            found = above == ["", "whl", "cpu"]
            self.wfile.write((wheel(folder) if name else page) if found else b"<html></html>")

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def installed(setup_env: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that install packages, on a machine without a GPU."""
    (tmp_path / ".venv").mkdir()
    for name in ("requirements", "requirements-dev", "requirements-ros", "constraints-ros"):
        (tmp_path / f"{name}.txt").touch()
    commands: list[str] = []
    monkeypatch.setattr(
        setup_env, "run", lambda command, _: commands.append(" ".join(map(str, command)))
    )
    monkeypatch.setattr(setup_env, "has_gpu", lambda: False)
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    return commands


def test_without_a_gpu_torch_is_that_for_the_cpu(
    setup_env: ModuleType, index: str, installed: list[str], monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(setup_env, "CPU_INDEX", f"{index}/whl/cpu")
    setup_env.install_packages("venv")
    torch, others = installed[:2]
    assert torch.endswith(f"--index-url {index}/whl/cpu torch torchvision")
    assert "requirements.txt" in others and "--index-url" not in others
    assert "6 GB" not in capsys.readouterr().out
    setup_env.install_packages("venv")
    assert len(installed) == 3, "once; the third patches ROS"


def test_pip_takes_torch_from_that_index(
    setup_env: ModuleType, index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "packages"))
    monkeypatch.setattr(setup_env, "VENV_PYTHON", sys.executable)
    monkeypatch.setattr(setup_env, "CPU_INDEX", f"{index}/whl/cpu")
    monkeypatch.setattr(setup_env, "has_gpu", lambda: False)
    (tmp_path / ".venv").mkdir()
    assert setup_env.install_cpu_torch()
    names = {path.name for path in (tmp_path / "packages").iterdir()}
    assert names >= {f"{n}-2.9.0+cpu.dist-info" for n in ("torch", "torchvision")}


@pytest.mark.parametrize("place", ["/empty", "", "closed", "nonsense"])
def test_where_that_index_is_not_torch_is_pypis(
    setup_env: ModuleType,
    index: str,
    installed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys,
    place: str,
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
    other = {"closed": closed, "nonsense": "nonsense"}.get(place, f"{index}{place}")
    monkeypatch.setattr(setup_env, "CPU_INDEX", other)
    setup_env.install_packages("venv")
    assert "requirements.txt" in installed[0] and "torchvision" not in installed[0]
    reason, packages = capsys.readouterr().out.splitlines()
    assert f"{other} does not answer" in reason and "5.6 GB more" in reason
    assert "about 6 GB" in packages


def test_with_a_gpu_nobody_asks_that_index(
    setup_env: ModuleType, installed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup_env, "has_gpu", lambda: True)
    monkeypatch.setattr(setup_env, "answers", lambda index: pytest.fail("it was asked"))
    setup_env.install_packages("venv")
    assert "requirements.txt" in installed[0]


def test_a_torch_that_cannot_be_installed_from_there_is_pypis(
    setup_env: ModuleType, installed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[object], what: str) -> None:
        if "torchvision" in command:
            raise setup_env.SetupError(f"{what} failed")
        installed.append(" ".join(map(str, command)))

    monkeypatch.setattr(setup_env, "run", run)
    monkeypatch.setattr(setup_env, "answers", lambda index: True)
    setup_env.install_packages("venv")
    assert "requirements.txt" in installed[0]


def test_a_failing_command_shows_its_output(
    setup_env: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    (tmp_path / ".venv").mkdir()
    command = [sys.executable, "-c", "print('what went wrong'); raise SystemExit(3)"]
    with pytest.raises(setup_env.SetupError, match="the example failed"):
        setup_env.run(command, "the example")
    assert "what went wrong" in capfd.readouterr().err


def test_what_colcon_starts_looks_for_the_wheels_libraries_itself(
    setup_env: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a shell with .venv in use it would otherwise believe that this was done already."""
    monkeypatch.setenv("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "1")
    assert "_ROS_WHEELS_BOOTSTRAP_COMPLETE" not in setup_env.build_environment()


def test_help_lists_the_commands() -> None:
    done = subprocess.run(["make", "-C", ROOT, "help"], capture_output=True, text=True)
    assert done.returncode == 0
    for name in ("build", "demo", "test", "colcon-test", "lint", "demo-model", "clean"):
        assert f"make {name}" in done.stdout
