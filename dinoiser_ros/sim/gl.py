# SPDX-License-Identifier: Apache-2.0
"""Finding an OpenGL library that MuJoCo can render with, without a display."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

_PROBE = (
    "import mujoco\n"
    "model = mujoco.MjModel.from_xml_string('<mujoco/>')\n"
    "mujoco.Renderer(model, 16, 16).render()\n"
)
_PROBE_TIMEOUT_S = 60


class RendererUnavailable(RuntimeError):
    """No GL library can be loaded; the message names the packages that provide one."""


def _works(backend: str) -> bool:
    """Whether MuJoCo renders with this backend, tried in a process of its own.

    MuJoCo binds its backend once, at import, so a failed try in this process could not be taken
    back.
    """
    command = [sys.executable, "-c", _PROBE]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "MUJOCO_GL": backend},
            timeout=_PROBE_TIMEOUT_S,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def load_mujoco() -> ModuleType:
    """Import MuJoCo bound to a GL library that works: the user's MUJOCO_GL, else EGL, else OSMesa.

    Returns:
        The ``mujoco`` module. The choice is kept in ``MUJOCO_GL``, so that the next call is free.

    Raises:
        RendererUnavailable: nothing works, or MuJoCo itself is not installed.
    """
    if os.environ.get("DINOISER_GL_CHECKED") != os.environ.get("MUJOCO_GL", ""):
        _choose_backend()
    return import_module("mujoco")


def _choose_backend() -> None:
    """Set MUJOCO_GL to the first backend that renders; see :func:`load_mujoco`."""
    if find_spec("mujoco") is None:
        raise RendererUnavailable("the simulated camera needs MuJoCo: pip install mujoco")
    asked = os.environ.get("MUJOCO_GL")
    for backend in (asked,) if asked else ("egl", "osmesa"):
        if _works(backend):
            os.environ["MUJOCO_GL"] = os.environ["DINOISER_GL_CHECKED"] = backend
            return
    tried = f"MUJOCO_GL={asked}" if asked else "EGL and OSMesa"
    raise RendererUnavailable(
        f"no GL library for rendering without a display ({tried} tried): install libegl1 and "
        "libgl1-mesa-dri (sudo apt install libegl1 libgl1-mesa-dri), or libosmesa6"
    )
