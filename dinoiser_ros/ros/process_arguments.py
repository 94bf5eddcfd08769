# SPDX-License-Identifier: Apache-2.0
"""The command line of a node's process: its help, and parameters that rcl would misread or miss.

rcl reads parameters as YAML: `- floor: carpet` becomes another parameter, `yes` a truth value. So
files and `-p` arguments are looked at before rcl gets them. Neither ROS nor rclpy is imported.
"""

from __future__ import annotations

import contextlib
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dinoiser_ros.errors import ParameterError
from dinoiser_ros.utils.option import Option, by_name, quoted

from .yaml_texts import as_written, quoted_node, texts_of

if TYPE_CHECKING:
    from yaml.nodes import MappingNode, Node

_SURPRISES = {"nan", "inf", "null", "true", "false", "yes", "no", "on", "off"}


@dataclass(frozen=True)
class Program:
    """An executable that runs one node.

    Attributes:
        name: of the executable.
        node: of the node, unless it is renamed.
        about: what it does, in one sentence.
        options: its parameters.
        as_text: parameters of any type, whose value is to arrive as it was written.
    """

    name: str
    node: str
    about: str
    options: tuple[Option, ...] = ()
    as_text: tuple[str, ...] = ()

    def usage(self) -> str:
        """The text of --help."""
        lines = [
            f"usage: {self.name} [--help] [--ros-args -p NAME:=VALUE --params-file FILE "
            "-r FROM:=TO ...]",
            "",
            self.about,
            "",
            *(["parameters:"] if self.options or self.as_text else []),
            *(f"  {name}" for name in self.as_text),
            *(f"  {o.name} ({o.takes}; default: {_shown(o.default)})" for o in self.options),
        ]
        return "\n".join(lines).rstrip()


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return quoted(default) if isinstance(default, list) else str(default) or "''"


def asks_for_help(words: Sequence[str] | None) -> bool:
    """Whether -h or --help is among the arguments that are not ROS's; None: this process's."""
    return not {"-h", "--help"}.isdisjoint(_own_words(_words(words)))


@contextlib.contextmanager
def prepared(program: Program, words: Sequence[str] | None) -> Iterator[list[str]]:
    """Arguments as rcl reads them rightly; corrected files exist until the context ends.

    Args:
        program: what is started.
        words: its arguments; None for those of this process.

    Raises:
        ParameterError: an argument that no node reads, a file that is not there, or a list with an
        entry that is no text.
    """
    given = _words(words)
    for word in _own_words(given):
        raise ParameterError(
            f"'{word}' is not read: give parameters after --ros-args, as in "
            f"'--ros-args -p name:=value' (see {program.name} --help)"
        )
    with tempfile.TemporaryDirectory(prefix="dinoiser_parameters_") as folder:
        yield [_corrected(program, given, index, Path(folder)) for index in range(len(given))]


def _words(words: Sequence[str] | None) -> list[str]:
    return list(sys.argv[1:] if words is None else words)


def _own_words(words: Sequence[str]) -> list[str]:
    """The arguments outside of --ros-args ... [--]."""
    own, ros = [], False
    for word in words:
        if word == "--ros-args":
            ros = True
        elif ros and word == "--":
            ros = False
        elif not ros:
            own.append(word)
    return own


def _corrected(program: Program, words: Sequence[str], index: int, folder: Path) -> str:
    """One argument, or what stands for it."""
    word, flag = words[index], words[index - 1] if index else ""
    if flag == "--params-file":
        return _corrected_file(program, words, word, folder / f"{index}.yaml")
    if flag in ("-p", "--param"):
        return _corrected_parameter(program, word)
    return word


def _corrected_parameter(program: Program, word: str) -> str:
    import yaml

    name, sign, text = word.partition(":=")
    short = name.rpartition(":")[2]  # of "node:name"
    with contextlib.suppress(yaml.YAMLError):
        given = yaml.compose(text, Loader=yaml.SafeLoader)
        right = None if given is None else _right_value(program, short, given)
        if right is not None:
            return f"{name}{sign}{yaml.serialize(right, width=2**20).strip()}"
    return word


def _corrected_file(program: Program, words: Sequence[str], path: str, copy: Path) -> str:
    """The path of a parameters file, or of a copy whose lists of texts are in quotes."""
    import yaml

    if not Path(path).exists() or Path(path).is_dir():
        raise ParameterError(f"there is no parameters file {path}")
    if not Path(path).is_file():  # a pipe can be read only once
        return path
    try:
        root = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, ValueError, yaml.YAMLError):
        return path  # rcl says what is wrong
    sections = dict(_sections(root, ""))
    full_name = _full_name(program, words)
    mine = [entry for name, entry in sections.items() if _matches(name, full_name)]
    if sections and not mine:
        found = ", ".join(f"'{name}'" for name in list(sections)[:5])
        print(
            f"{program.name}: warning: nothing in {path} is for the node {full_name}, its sections "
            f"are {found}: name one {full_name} or /**",
            file=sys.stderr,
        )
    changed = False
    for section in mine:
        for index, (key, value) in enumerate(section.value):
            right = _right_value(program, str(key.value), value)
            if right is not None:
                section.value[index] = key, right
                changed = True
    if not changed:
        return path
    copy.write_text(yaml.serialize(root, allow_unicode=True, width=2**20), encoding="utf-8")
    return str(copy)


def _right_value(program: Program, name: str, given: Node) -> Node | None:
    """What a parameter's value has to be replaced with; None if rcl reads it rightly."""
    import yaml

    if name in program.as_text and isinstance(given, yaml.ScalarNode) and given.style is None:
        return yaml.ScalarNode("tag:yaml.org,2002:str", given.value, style="'")
    option = by_name(program.options).get(name)
    if option is None or option.kind is not list:
        return None
    if isinstance(given, yaml.MappingNode):
        pairs = [yaml.MappingNode(given.tag, [pair]) for pair in given.value]
        written = [as_written(pair) for pair in pairs] or ["floor: carpet"]
        raise ParameterError(
            f"{name} is a mapping, which ROS reads as other parameters such as "
            f"{name}.{written[0].partition(':')[0]}: write a list, {name}: {quoted(written)}"
        )
    if not isinstance(given, yaml.SequenceNode) or not given.value:
        return None
    texts = texts_of(name, given)
    return quoted_node(texts) if any(_may_surprise(entry) for entry in given.value) else None


def _may_surprise(entry: Node) -> bool:
    """Whether rcl may take an entry, which is a text to PyYAML, for something else."""
    import yaml

    if not isinstance(entry, yaml.ScalarNode):
        return True
    text = entry.value
    plain = entry.style is None
    return plain and (len(text) < 2 or not text[0].isalpha() or text.casefold() in _SURPRISES)


def _sections(given: Node | None, name: str) -> Iterator[tuple[str, MappingNode]]:
    """The nodes that a parameters file names, with their parameters."""
    import yaml

    if not isinstance(given, yaml.MappingNode):
        return
    for key, value in given.value:
        if key.value == "ros__parameters" and isinstance(value, yaml.MappingNode):
            yield name or "/", value
        else:
            yield from _sections(value, f"{name}/{str(key.value).strip('/')}")


def _full_name(program: Program, words: Sequence[str]) -> str:
    """The node's name with its namespace, as remapped on the command line."""
    node, namespace = program.node, ""
    for word in words:
        left, sign, right = word.partition(":=")
        special = left.rpartition(":")[2] if sign else ""
        node = right if special in ("__node", "__name") else node
        namespace = right.strip("/") if special == "__ns" else namespace
    return "/" + "/".join(part for part in (namespace, node) if part)


def _matches(section: str, full_name: str) -> bool:
    """Whether a section of a parameters file is for a node: * is one name, ** any number."""
    pattern = re.escape(section).replace(r"/\*\*", r"(/\w+)*").replace(r"/\*", r"/\w+")
    return re.fullmatch(pattern, full_name) is not None
