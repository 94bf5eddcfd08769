# SPDX-License-Identifier: Apache-2.0
"""Settings as a parameters file: written as ROS reads it, and read whatever people give."""

from __future__ import annotations

import pytest
import yaml

from dinoiser_ros.errors import RequestError
from dinoiser_ros.web.backend import Parameter
from dinoiser_ros.web.settings_file import MAX_SIZE, settings_of, settings_text


def test_every_value_survives() -> None:
    values = {
        "prompts": ["yes", "7", "floor: carpet, tiles", "Tür 'ä' \"x\"", "\u2028 \U0001f600", "#"],
        "gamma": -1.0,
        "rate": 1e-7,
        "inference_size": 0,
        "offline": False,
        "model": "null",
        "empty": "",
    }
    kinds = {float: "float", int: "int", bool: "bool", str: "str", list: "list"}
    parameters = [Parameter(name, kinds[type(value)], value) for name, value in values.items()]
    text = settings_text(parameters)
    assert settings_of(text) == values
    assert "gamma: -1.0" in text and "Tür" in text
    whole = settings_text([Parameter("gamma", "float", 1)])
    assert "gamma: 1.0" in whole  # ROS would take 1 for another type
    assert isinstance(yaml.safe_load(text)["/**"]["ros__parameters"]["rate"], float)


def test_files_of_any_node_are_read() -> None:
    text = (
        "/robot:\n  dinoiser:\n    ros__parameters: {gamma: 0.5}\nother: {ros__parameters: {a: b}}"
    )
    assert settings_of(text) == {"gamma": 0.5, "a": "b"}


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 30))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no parameters"),
        ("[1, 2]", "no parameters"),
        ("a: {b: [c", "no valid YAML in line 1"),
        ("a: !!python/object/apply:os.system [id]", "no valid YAML"),
        (BOMB, "aliases"),
        ("x" * (MAX_SIZE + 1), "longer than"),
        ("[" * 30_000, "nested too deeply"),
        ("- " * 30_000, "nested too deeply"),
        ("{a: " * 9000 + "}" * 9000, "nested too deeply"),
        ("a: 2026-99-99", "cannot be read"),
        ("\x00", "no valid YAML"),
        ("a: !!bool maybe", "cannot be read"),
        ("a: !!int ''", "cannot be read"),
        ("a: !!timestamp soon", "cannot be read"),
    ],
)
def test_other_files_are_refused_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        settings_of(text)
