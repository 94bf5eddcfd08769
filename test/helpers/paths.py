# SPDX-License-Identifier: Apache-2.0
"""Where things are in this repository, for tests in any folder."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "test" / "data" / "golden"
HELD_OUT = ROOT / "data" / "heldout"
