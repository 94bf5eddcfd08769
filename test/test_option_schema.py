# SPDX-License-Identifier: Apache-2.0
"""Every engine option is written once; all that is made from it takes and refuses the same."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import subprocess
import sys
import typing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import ROOT

from dinoiser_ros import option_schema
from dinoiser_ros.cli.arguments import add_option_arguments
from dinoiser_ros.errors import OptionError
from dinoiser_ros.option_schema import (
    ENGINE_OPTIONS,
    FRAME_OPTIONS,
    METHOD_NAMES,
    MODEL_OPTIONS,
    FrameOptions,
    OptionAttribute,
    OptionAttributes,
    OptionChanges,
    rows,
)
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.device import PRECISIONS
from dinoiser_ros.segmentation.engines.runtimes.kinds import KINDS
from dinoiser_ros.segmentation.methods.registry import BACKGROUND_SOURCES, METHODS
from dinoiser_ros.segmentation.networks.dinoiser_heads import GAMMA
from dinoiser_ros.segmentation.options import Options
from dinoiser_ros.utils.option import Option, by_name
from dinoiser_ros.utils.option_table import markdown_table

BY_NAME = by_name(ENGINE_OPTIONS)
DEFAULTS = {option.name: option.default for option in ENGINE_OPTIONS}


def test_neither_torch_nor_ros_is_imported() -> None:
    code = (
        "import sys, dinoiser_ros.option_schema, dinoiser_ros.ros.segment.parameters\n"
        "print({'torch', 'numpy', 'rclpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_values_arguments_and_attributes_have_the_same_names_and_types() -> None:
    """The three places in option_schema.py that an option is written in, for type checkers."""
    types = typing.get_type_hints(FrameOptions)
    assert types == typing.get_type_hints(OptionChanges)
    attributes = {
        name: typing.get_args(value.__orig_class__)[0]
        for name, value in vars(OptionAttributes).items()
        if isinstance(value, OptionAttribute)
    }
    assert types == attributes
    assert len(BY_NAME) == len(ENGINE_OPTIONS)
    assert list(types) == [option.name for option in FRAME_OPTIONS]


def test_options_and_segmenter_have_the_names_and_defaults_of_the_schema() -> None:
    fields = {field.name: field.default for field in dataclasses.fields(Options)}
    assert fields == {option.name: option.default for option in FRAME_OPTIONS}
    parameters = inspect.signature(Segmenter).parameters
    for name in (*(option.name for option in MODEL_OPTIONS), "method"):
        assert parameters[name].default == DEFAULTS[name]
    for option in FRAME_OPTIONS:
        assert inspect.getdoc(inspect.getattr_static(Segmenter, option.name)) == option.description


def test_choices_are_those_of_the_code() -> None:
    assert tuple(METHODS) == METHOD_NAMES
    assert BY_NAME["background_source"].choices == tuple(BACKGROUND_SOURCES)
    assert BY_NAME["precision"].choices == ("auto", *PRECISIONS, "int8")
    assert BY_NAME["engine"].choices == ("auto", "torch", *KINDS)
    assert f"the paper's {GAMMA:g}" in BY_NAME["gamma"].unset_means


def candidates(option: Option) -> st.SearchStrategy[Any]:
    """Values that an option may or may not have, many of them near what it takes."""
    near = [None, "", *option.choices, option.default, option.unset, True, False]
    for bound in (option.minimum, option.maximum, option.unset):
        if isinstance(bound, (int, float)):
            near += [bound, int(bound), bound - 1, bound + 1, bound - 1e-9, bound + 1e-9]
    anything = st.one_of(
        st.floats(), st.floats(0, 1), st.integers(), st.integers(0, 5000), st.text(max_size=8),
        st.binary(max_size=4), st.lists(st.text(max_size=3), max_size=2),
    )  # fmt: skip
    return st.one_of(st.sampled_from(near), anything)


def taken(option: Option, value: Any) -> bool:
    """Whether an option's own check takes a value."""
    try:
        option.check(value)
    except OptionError as error:
        assert str(error).startswith(option.name) and str(error).endswith(".")
        return False
    return True


def taken_by_options(option: Option, value: Any) -> bool:
    """Whether `Options` takes it."""
    try:
        Options(**{option.name: value})
    except OptionError:
        return False
    return True


def taken_by_ros(option: Option, value: Any) -> bool:
    """Whether the parameter of the node takes it."""
    from dinoiser_ros.ros.segment.parameters import check_changes

    try:
        check_changes({option.name: value}, configured=False)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("option", ENGINE_OPTIONS, ids=lambda option: option.name)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_schema_options_and_ros_take_the_same_values(option: Option, data: st.DataObject) -> None:
    value = data.draw(candidates(option))
    if option in FRAME_OPTIONS:
        assert taken_by_options(option, value) == taken(option, value)
    # ROS has no None: it has another value instead, which Python does not take.
    if value is None:
        assert not taken_by_ros(option, value)
    else:
        assert taken_by_ros(option, value) == taken(option, option.value_of(value))


@pytest.mark.parametrize("option", ENGINE_OPTIONS, ids=lambda option: option.name)
def test_each_option_takes_its_default_and_refuses_another_type(option: Option) -> None:
    assert taken(option, option.default)
    assert not taken(option, b"bytes")
    if option.unset is not None:
        assert taken_by_ros(option, option.unset)
        own = isinstance(option.unset, str) or option.unset == option.special
        assert own or not taken(option, option.unset)


@dataclasses.dataclass(frozen=True)
class MoreOptions(Options):
    """The options with one more, as somebody would add it."""

    made_up: float | None = option_schema._frame_row(
        None, "Made up", minimum=0.0, maximum=2.0, unset=-1.0, unset_means="nothing"
    )


def test_a_new_row_is_a_parameter_an_argument_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    from dinoiser_ros.ros.segment import engine, parameters
    from dinoiser_ros.segmentation import options

    new = rows(MoreOptions)
    (row,) = (option for option in new if option.name == "made_up")
    assert taken(row, 2) and taken(row, None) and not taken(row, -1.0)
    (parameter,) = parameters._parameters([row])
    assert markdown_table([parameter]).splitlines()[-1] == (
        "| `made_up` | `-1.0` | -1, or 0 to 2 | any time | Made up; -1: nothing. |"
    )
    assert engine.python_values(new, {"made_up": -1.0, "other": 1}) == {"made_up": None}
    assert engine.python_values(new, {"made_up": 0.5}) == {"made_up": 0.5}

    parser = argparse.ArgumentParser()
    add_option_arguments(parser, new)
    assert parser.parse_args([]).made_up is None
    assert parser.parse_args(["--made-up", "0.5"]).made_up == 0.5
    assert "Made up; by default nothing" in parser.format_help()

    monkeypatch.setattr(options, "FRAME_OPTIONS", new)
    assert MoreOptions(made_up=1.5).made_up == 1.5
    with pytest.raises(OptionError, match=r"made_up cannot be 3.0: it takes 0 to 2, or None"):
        MoreOptions(made_up=3.0)


def literals(source: str) -> list[tuple[str, object]]:
    """(name, value) of everything in a file that has a literal as its default."""
    found: list[tuple[str, ast.expr | None]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            given, keywords = node.args.args, node.args.kwonlyargs
            last = given[len(given) - len(node.args.defaults) :]
            arguments = [*last, *keywords]
            values = [*node.args.defaults, *node.args.kw_defaults]
            found += [(a.arg, value) for a, value in zip(arguments, values, strict=True)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.append((node.target.id, node.value))
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = str(node.args[0].value).removeprefix("--").replace("-", "_")
            found += [(name, word.value) for word in node.keywords if word.arg == "default"]
    return [(name, value.value) for name, value in found if isinstance(value, ast.Constant)]


def test_literals_are_found() -> None:
    source = 'def f(a, device="auto", *, gamma=0.2): ...\nadd("--pd-threshold", default=0.5)\n'
    source += 'class C:\n    model: str = "vit-b-16"\n'
    assert dict(literals(source)) == {
        "device": "auto", "gamma": 0.2, "pd_threshold": 0.5, "model": "vit-b-16",
    }  # fmt: skip


def test_no_default_is_written_again() -> None:
    """Flags apart: that a function by itself uses no option is no copy of the option's default."""
    copies = [
        (path.relative_to(ROOT).as_posix(), name)
        for path in (ROOT / "dinoiser_ros").rglob("*.py")
        for name, value in literals(path.read_text(encoding="utf-8"))
        if not isinstance(value, bool) and value is not None and DEFAULTS.get(name) == value
    ]
    assert copies == []


def test_the_demo_starts_the_camera_with_its_own_defaults() -> None:
    from dinoiser_ros.ros.tools.sim_frames import CameraOptions

    tree = ast.parse((ROOT / "launch" / "demo.launch.py").read_text(encoding="utf-8"))
    (arguments,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ARGUMENTS"
    )
    for name in ("rate", "seed", "recorded"):
        assert arguments[name][0] == str(getattr(CameraOptions, name)).lower()
