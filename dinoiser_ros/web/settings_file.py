# SPDX-License-Identifier: Apache-2.0
"""Settings as a ROS parameters file: what the page downloads, and what it loads again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from dinoiser_ros.errors import RequestError

from .backend import Parameter

MAX_SIZE = 64 * 1024  # characters
_KEY = "ros__parameters"
_DEEPEST = 20  # nested collections; namespaces need a few


def settings_text(parameters: Iterable[Parameter]) -> str:
    """Parameters as a YAML file that `ros2 run`, `ros2 launch` and the page read.

    Values are written as JSON, which is YAML too: every text is in quotes.
    """
    lines = [f"    {entry.name}: {_written(entry)}" for entry in parameters]
    return "\n".join(["/**:", f"  {_KEY}:", *lines, ""])


def _written(parameter: Parameter) -> str:
    value = parameter.value
    if parameter.kind == "float" and isinstance(value, (int, float)):
        value = float(value)  # JSON writes 1.0, which ROS needs
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and "." not in text:
        text = text.replace("e", ".0e")  # YAML 1.1 takes 1e-07 for a text
    # What is not printable, such as line separators, YAML would fold.
    return "".join(
        character if character.isprintable() else f"\\U{ord(character):08x}" for character in text
    )


def settings_of(text: str) -> dict[str, Any]:
    """The parameters in a file, whichever node they are for; of two of one name the last one.

    Raises:
        RequestError: it is no parameters file.
    """
    import yaml

    if len(text) > MAX_SIZE:
        raise RequestError(f"The file is longer than {MAX_SIZE // 1024} kB: give a smaller one.")
    try:
        _check_events(yaml.parse(text, Loader=yaml.SafeLoader))
        root = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark is not None else ""
        raise RequestError(f"The file is no valid YAML{place}: correct it.") from None
    except (RecursionError, ValueError, OverflowError, LookupError, AttributeError, TypeError):
        # PyYAML raises what its own code runs into where a tag (!!bool, !!int) does not fit.
        raise RequestError("The file cannot be read as YAML: write plain values.") from None
    found: dict[str, Any] = {}
    _collect(root, found)
    if not found:
        raise RequestError(
            f"The file has no parameters: give a ROS parameters file, with '{_KEY}:' in it."
        )
    return found


def _check_events(events: Iterable[Any]) -> None:
    """Refuse what takes a reader of YAML long: deep nesting, and aliases, which multiply."""
    from yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

    depth = 0
    for event in events:
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if isinstance(event, AliasEvent):
            raise RequestError("The file has YAML aliases (*name): write the values out.")
        if depth > _DEEPEST:
            raise RequestError("The file is nested too deeply for a parameters file.")


def _collect(given: Any, found: dict[str, Any]) -> None:
    if not isinstance(given, dict):
        return
    for key, value in given.items():
        if key == _KEY and isinstance(value, dict):
            found.update({str(name): entry for name, entry in value.items()})
        else:
            _collect(value, found)
