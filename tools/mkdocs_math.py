# SPDX-License-Identifier: Apache-2.0
"""Equations of the documentation site: a hook of mkdocs that turns LaTeX into MathML.

Browsers draw MathML by themselves, so that no script from another server is needed. The notation is
GitHub's, which draws it too: a fence ```math for a line of its own, $`...`$ within a sentence.
"""

import re

from latex2mathml.converter import convert

_DISPLAY = re.compile(r"^```math\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"\$`([^`]+)`\$")


def on_page_markdown(markdown: str, **_: object) -> str:
    """Replace the equations of a page; mkdocs calls this for each."""
    markdown = _DISPLAY.sub(
        lambda found: f'<div class="math">{convert(found[1].strip(), display="block")}</div>',
        markdown,
    )
    return _INLINE.sub(lambda found: convert(found[1].strip()), markdown)
