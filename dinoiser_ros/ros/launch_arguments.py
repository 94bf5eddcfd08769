# SPDX-License-Identifier: Apache-2.0
"""What launch files do with their arguments: types, files and names that do not exist.

Neither ROS nor `launch` is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from dinoiser_ros.errors import ParameterError
from dinoiser_ros.utils.option import did_you_mean, quoted

from .yaml_texts import reads_ambiguously, texts_of


def typed(
    name: str, kind: type, text: str, warn: Callable[[str], None] | None = None
) -> str | bool | int | float | list[str]:
    """A launch argument as the type of the parameter that it sets.

    Args:
        name: of the argument, for messages.
        kind: str, bool, int, float or list (of texts).
        text: as given.
        warn: called with a sentence about a list that can be read in two ways.

    Raises:
        ParameterError: the text is no such value.
    """
    import yaml

    if kind is str:
        return text
    wanted = {bool: "true or false", int: "a whole number", float: "a number"}
    try:
        if kind is list:
            given = yaml.compose(text, Loader=yaml.SafeLoader)
            if given is None:
                raise yaml.YAMLError
            texts = texts_of(f"the launch argument {name}", given)
            if warn is not None and reads_ambiguously(given):
                warn(
                    f"the launch argument {name} is read as {quoted(texts)}: quote each entry if "
                    "something else is meant"
                )
            return texts
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = None
    if kind is float and type(value) is int:
        return float(value)
    if kind in wanted and isinstance(value, (bool, int, float)) and type(value) is kind:
        return value
    expected = wanted.get(kind, "a list such as ['floor', 'person']")
    raise ParameterError(f"the launch argument {name} has to be {expected}, not '{text}'")


def existing_file(name: str, text: str) -> str:
    """The path in a launch argument, ~ for the home directory; ParameterError if no file is there.

    Args:
        name: of the argument, for messages.
        text: as given.
    """
    path = Path(text).expanduser()
    if not path.is_file():
        raise ParameterError(f"the launch argument {name} names {path}: there is no such file")
    return str(path)


def check_names(
    launch_file: str, given: Iterable[str], known: Iterable[str], warn: Callable[[str], None]
) -> None:
    """Say which launch arguments do not exist.

    An argument of a launch file that includes this one arrives here, too: unless this one was
    started by itself, a name that does not resemble any is taken for such a one.

    Args:
        launch_file: its path.
        given: names of all arguments that were given.
        known: those that exist.
        warn: called with a sentence for each name that was probably misspelt.

    Raises:
        ParameterError: this launch file was started by itself, and a name does not exist.
    """
    names = list(known)
    alone = any(Path(word).name == Path(launch_file).name for word in sys.argv)
    for name in given:
        near = did_you_mean(name, names)
        if name in names or not (near or alone):
            continue
        sentence = f"there is no launch argument '{name}'{near or ': see --show-args'}"
        if alone:
            raise ParameterError(sentence)
        warn(sentence)
