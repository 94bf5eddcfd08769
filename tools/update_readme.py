#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the parts of README.md that come from elsewhere: the parameters' table, the Nav2 file.

Run it after changing them (`. tools/env.sh && python3 tools/update_readme.py`); a test compares.
"""

from __future__ import annotations

from pathlib import Path

from dinoiser_ros.ros.segment.parameters import SPECS
from dinoiser_ros.utils.markdown import replace_part
from dinoiser_ros.utils.option_table import markdown_table

ROOT = Path(__file__).resolve().parent.parent


def generated() -> dict[str, str]:
    """The parts by the name of their markers."""
    nav2 = (ROOT / "config" / "nav2_costmap.yaml").read_text(encoding="utf-8")
    return {"parameters": markdown_table(SPECS), "nav2": f"```yaml\n{nav2}```\n"}


def updated(text: str) -> str:
    """README text with every generated part as it should be.

    Raises:
        ValueError: a pair of markers is missing.
    """
    for name, content in generated().items():
        text = replace_part(text, name, content)
    return text


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(updated(readme.read_text(encoding="utf-8")), encoding="utf-8")
