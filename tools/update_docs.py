#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the parts of the documents that come from the code.

They stand between <!-- name --> and <!-- /name -->. Run this after changing a parameter, a
message, an option of a command, a launch argument or a file config/nav2_*.yaml:
`. tools/env.sh && python3 tools/update_docs.py`. A test compares.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from unittest import mock

from dinoiser_ros.cli.main import _parser
from dinoiser_ros.ros.segment.parameters import SPECS
from dinoiser_ros.ros.tools import image_source, sim_camera
from dinoiser_ros.ros.web_console import main as web_console
from dinoiser_ros.utils.markdown import replace_part
from dinoiser_ros.utils.option import Option
from dinoiser_ros.utils.option_table import markdown_table

ROOT = Path(__file__).resolve().parent.parent


def shown_as_written(table: str) -> str:
    """A table whose <...> are not taken for HTML; code in backticks stays."""
    parts = table.split("`")
    parts[::2] = [part.replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)


def parameters(specs: Iterable[Option]) -> Callable[[], str]:
    """The table of a node's parameters."""
    return lambda: shown_as_written(markdown_table(specs))


def nav2(name: str) -> str:
    """The costmap's configuration."""
    text = (ROOT / "config" / name).read_text(encoding="utf-8")
    return f"```yaml\n{text}```\n"


def messages() -> str:
    """Every message and service as it is defined."""
    paths = [*sorted(ROOT.glob("msg/*.msg")), *sorted(ROOT.glob("srv/*.srv"))]
    return "\n".join(
        f"### dinoiser_ros/{path.parent.name}/{path.stem}\n\n"
        f"```text\n{path.read_text(encoding='utf-8')}```\n"
        for path in paths
    )


def commands() -> str:
    """Every subcommand of `dinoiser`: what it does, and its arguments as a table.

    The help text itself is not used: its layout depends on the version of Python.
    """
    (subcommands,) = (
        action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    summaries = {action.dest: action.help for action in subcommands._choices_actions}
    sections = []
    for name, parser in subcommands.choices.items():
        about = f"\n```text\n{parser.description.strip()}\n```\n" if parser.description else ""
        rows = "".join(argument_row(parser, action) for action in parser._actions)
        sections.append(
            f"## dinoiser {name}\n\n{sentence(summaries[name])}\n{about}\n"
            f"| argument | default | meaning |\n|---|---|---|\n{rows}"
        )
    return "\n".join(sections)


def argument_row(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """One argument of a command as a row; "" for --help."""
    if isinstance(action, argparse._HelpAction):
        return ""
    name = ", ".join(f"`{option}`" for option in action.option_strings)
    if action.nargs != 0 or not name:
        placeholder = action.metavar or (action.dest.upper() if name else action.dest)
        many = " ..." if action.nargs in ("+", "*") else ""
        name = f"{name} `{placeholder}{many}`".strip()
    default = action.default
    if isinstance(default, (list, tuple)):
        default = " ".join(map(str, default))
    shown = "" if default in (None, "", argparse.SUPPRESS) or action.nargs == 0 else f"`{default}`"
    if isinstance(action, argparse.BooleanOptionalAction):
        shown = f"`{str(default).lower()}`"
    text = sentence(" ".join((action.help or "").replace("(%(default)s)", "").split()))
    if action.choices and not all(str(choice) in text for choice in action.choices):
        listed = ", ".join(f"`{choice}`" for choice in action.choices)
        text = f"{text} One of {listed}.".strip()
    cells = (cell.replace("|", "\\|") for cell in (name, shown, text))
    return shown_as_written(f"| {' | '.join(cells)} |\n")


def sentence(text: str) -> str:
    """A help text with a full stop and, unless it begins with a name, a capital letter."""
    first = text.split(" ")[0]
    begin = text[:1].upper() if first.isalpha() and first.islower() else text[:1]
    return text and begin + text[1:] + ("" if text.endswith(".") else ".")


def launch_arguments(name: str) -> Callable[[], str]:
    """The table of a launch file's arguments; the package `launch` need not be there."""

    def table() -> str:
        rows = "".join(
            f"| `{argument}` | {f'`{default}`' if default else ''} | {sentence(about)} |\n"
            for argument, default, about in declared_arguments(name)
        )
        return shown_as_written(f"| argument | default | meaning |\n|---|---|---|\n{rows}")

    return table


def declared_arguments(name: str) -> Iterator[tuple[str, str, str]]:
    """Name, default and description of each argument that a launch file declares."""
    modules = (
        "", ".actions", ".conditions", ".launch_description_sources", ".logging", ".substitutions",
    )  # fmt: skip
    stands_in = {f"launch{part}": mock.MagicMock() for part in modules}
    stands_in |= {
        f"launch_ros{part}": mock.MagicMock()
        for part in ("", ".actions", ".parameter_descriptions")
    }
    path = ROOT / "launch" / f"{name}.launch.py"
    with mock.patch.dict(sys.modules, stands_in):
        spec = importlib.util.spec_from_file_location(f"{name}_launch", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.generate_launch_description()
        calls = module.DeclareLaunchArgument.call_args_list
    for call in calls:
        yield call.args[0], call.kwargs["default_value"], call.kwargs["description"]


# Page -> marker -> what belongs between them.
PARTS: dict[str, dict[str, Callable[[], str]]] = {
    "docs/reference/parameters.md": {
        "parameters": parameters(SPECS),
        "image_source": parameters(image_source.SPECS),
        "sim_camera": parameters(sim_camera.SPECS),
        "web_console": parameters(web_console.SPECS),
    },
    "docs/reference/interfaces.md": {"messages": messages},
    "docs/reference/command-line.md": {"commands": commands},
    "docs/reference/files.md": {
        "segment.launch.py": launch_arguments("segment"),
        "demo.launch.py": launch_arguments("demo"),
        "drive.launch.py": launch_arguments("drive"),
    },
    "docs/tutorials/nav2.md": {"nav2": partial(nav2, "nav2_costmap.yaml")},
    "docs/how-to/points.md": {"nav2": partial(nav2, "nav2_obstacles.yaml")},
}


def updated(page: str) -> str:
    """The text of a page with every generated part as it should be.

    Args:
        page: a path in `PARTS`.

    Raises:
        ValueError: a pair of markers is missing.
    """
    text = (ROOT / page).read_text(encoding="utf-8")
    for name, content in PARTS[page].items():
        text = replace_part(text, name, content())
    return text


if __name__ == "__main__":
    for page in PARTS:
        (ROOT / page).write_text(updated(page), encoding="utf-8")
