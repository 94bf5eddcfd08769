# SPDX-License-Identifier: Apache-2.0
"""Lists of texts in YAML, as people write them: read as they mean it, or refused with the quoting.

YAML reads `yes` as true, `7` as a number, `null` as nothing and `- floor: carpet` as a mapping.
Neither ROS nor rclpy is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dinoiser_ros.errors import ParameterError
from dinoiser_ros.utils.option import quoted

if TYPE_CHECKING:
    from yaml.nodes import Node, SequenceNode

_TEXT = "tag:yaml.org,2002:str"


def texts_of(name: str, given: Node) -> list[str]:
    """The texts that a YAML value stands for: a list, one text, or one mapping of one key.

    Args:
        name: of the parameter or the launch argument, for messages.
        given: the composed YAML.

    Raises:
        ParameterError: an entry is no text; the sentence shows the list in quotes.
    """
    import yaml

    if not isinstance(given, yaml.SequenceNode):
        return _entries(name, [given])
    if not given.value:
        raise ParameterError(f"{name} has to be a list of texts such as ['floor', 'person'].")
    return _entries(name, given.value)


def reads_ambiguously(given: Node) -> bool:
    """Whether something else may be meant: one class by [floor: carpet, tiles], two by a, b."""
    import yaml

    if isinstance(given, yaml.ScalarNode):
        return given.style is None and "," in given.value and ":" not in given.value
    if not isinstance(given, yaml.SequenceNode) or not given.flow_style:
        return False
    kinds = [isinstance(entry, yaml.MappingNode) for entry in given.value]
    return any(one and not other for one, other in zip(kinds, kinds[1:], strict=False))


def _entries(name: str, entries: list[Node]) -> list[str]:
    texts = [_text(entry) for entry in entries]
    if None not in texts:
        return [text for text in texts if text is not None]
    wanted = [as_written(entry) for entry in entries]
    first = wanted[texts.index(None)] or "an empty entry"
    raise ParameterError(
        f"{name} has to be a list of texts, and YAML does not take {first} for one: "
        f"write {quoted(wanted if all(wanted) else ['floor', 'person'])}"
    )


def _text(given: Node) -> str | None:
    """The text of one entry; None if it is none."""
    import yaml

    if isinstance(given, yaml.ScalarNode):
        return str(given.value) if given.tag == _TEXT else None
    if not isinstance(given, yaml.MappingNode) or len(given.value) != 1:
        return None
    key, value = given.value[0]
    listed = value.value if isinstance(value, yaml.SequenceNode) else [value]
    parts = [key, *listed]
    if len(parts) < 2 or not all(isinstance(part, yaml.ScalarNode) for part in parts):
        return None
    if any(part.tag != _TEXT for part in parts):
        return None
    return f"{key.value}: {', '.join(part.value for part in listed)}"


def as_written(given: Node) -> str:
    """An entry as the text that was probably meant."""
    import yaml

    if isinstance(given, yaml.ScalarNode):
        return str(given.value)
    if isinstance(given, yaml.SequenceNode):
        return ", ".join(as_written(entry) for entry in given.value)
    pairs = [(as_written(key), as_written(value)) for key, value in given.value]
    return ", ".join(f"{key}: {value}" if value else key for key, value in pairs)


def quoted_node(texts: list[str]) -> SequenceNode:
    """Texts as a YAML list in quotes, which every parser reads as texts."""
    import yaml

    entries = [yaml.ScalarNode(_TEXT, text, style="'") for text in texts]
    return yaml.SequenceNode("tag:yaml.org,2002:seq", entries, flow_style=True)
