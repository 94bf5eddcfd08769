# SPDX-License-Identifier: Apache-2.0
"""Python, its packages, and whether they fit together."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata

from .findings import FAULT, NOTE, Finding

_NAMES = ("torch", "open_clip_torch", "numpy", "opencv-python-headless", "opencv-python", "pillow")
_NEEDED = ("torch", "open_clip_torch", "numpy", "pillow")
_BRIDGE = (
    "import numpy as np\n"
    "from cv_bridge import CvBridge\n"
    "from sensor_msgs.msg import Image\n"
    "m = Image(height=2, width=2, step=2, encoding='bayer_rggb8', data=bytes(4))\n"
    "CvBridge().imgmsg_to_cv2(m, 'rgb8')\n"
)


def versions() -> list[Finding]:
    """Python and the packages that decide about results."""
    findings = [Finding("Python", f"{sys.version.split()[0]}, {sys.executable}")]
    for name in _NAMES:
        try:
            findings.append(Finding(name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            if name in _NEEDED:
                findings.append(Finding(name, "not installed", FAULT, "docs/how-to/install.md"))
    return findings


def bridge() -> Finding:
    """Whether cv_bridge works with this numpy, tried in a process of its own: it may crash."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _BRIDGE],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "PYTHONSAFEPATH": "1"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("cv_bridge", f"could not be tried: {error}", NOTE)
    if done.returncode == 0:
        return Finding("cv_bridge", "works with this numpy")
    last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    if "No module named" in last:
        advice = "needed for Bayer and YUV images only"
        return Finding("cv_bridge", f"not there ({last})", NOTE, advice)
    advice = "install numpy < 2, or a cv_bridge for this numpy: docs/troubleshooting.md"
    return Finding("cv_bridge", f"fails: {last}", FAULT, advice)
