# SPDX-License-Identifier: Apache-2.0
"""The authors' numbers on the oldest open_clip, whose transformers are sequence-first.

All in one process of its own: importing takes longer than comparing.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from golden_data import OLD_OPEN_CLIP, needs_old_open_clip, run_with_old_open_clip

CODE = """
import sys, traceback, open_clip
print("open_clip:", open_clip.__file__)
for folder, module, function in (
    (".", "test_golden", "main"), ("methods", "test_cliper", "main"),
    ("text", "test_tower", "check_golden"),
):
    sys.path.insert(0, folder)
    try:
        getattr(__import__(module), function)()
        print(module, "matched")
    except Exception:
        traceback.print_exc()
"""


@pytest.fixture(scope="module")
def compared() -> subprocess.CompletedProcess[str]:
    return run_with_old_open_clip(CODE, Path(__file__).parent)


@needs_old_open_clip
@pytest.mark.parametrize("module", ["test_golden", "test_cliper", "test_tower"])
def test_the_authors_numbers_on_open_clip_2_24(compared, module: str) -> None:
    assert f"open_clip: {OLD_OPEN_CLIP}" in compared.stdout
    assert f"{module} matched" in compared.stdout, compared.stderr
