# SPDX-License-Identifier: Apache-2.0
"""The table of parameters: consistent in itself, strict, and the source of the README's table."""

from __future__ import annotations

import inspect
import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoiser_ros.errors import ParameterError
from dinoiser_ros.option_schema import ENGINE_OPTIONS, FRAME_OPTIONS, MODEL_OPTIONS
from dinoiser_ros.ros.parameter_declaration import check, descriptor
from dinoiser_ros.ros.segment.engine import python_values
from dinoiser_ros.ros.segment.parameters import BY_NAME, SPECS, check_changes
from dinoiser_ros.utils.option import START, Option
from dinoiser_ros.utils.option_table import markdown_table


@pytest.mark.parametrize("option", SPECS, ids=lambda option: option.name)
def test_each_default_is_allowed_and_each_text_written(option: Option) -> None:
    check(option, option.default)
    assert option.description.endswith(".")
    assert f"`{option.name}`" in markdown_table(SPECS)
    described = descriptor(option)
    assert described.description and described.additional_constraints
    assert described.read_only == (option.when == START)


def test_each_engine_option_is_a_parameter_with_the_same_default() -> None:
    values = {option.name: option.default for option in SPECS}
    defaults = {option.name: option.default for option in ENGINE_OPTIONS}
    assert len(values) == len(SPECS), "no name is there twice"
    assert {
        **python_values(MODEL_OPTIONS, values),
        **python_values(FRAME_OPTIONS, values),
    } == defaults
    special = {"gamma": -1.0, "delta": -1.0, "inference_size": 0}  # None to the engine
    special |= dict.fromkeys(("weights", "heads", "dino", "diffusion", "examples_file"), "")
    assert {
        name: value for name, value in values.items() if defaults.get(name, 0) is None
    } == special


def test_each_method_is_described() -> None:
    described = re.split(r"[ ,.]+", BY_NAME["method"].description)
    assert set(BY_NAME["method"].choices) <= set(described)


def test_the_overlay_has_one_default_opacity() -> None:
    from dinoiser_ros.media.settings import Settings
    from dinoiser_ros.visualization.overlay import overlay

    opacity = BY_NAME["overlay_alpha"].default
    assert inspect.signature(overlay).parameters["alpha"].default == opacity
    assert Settings.alpha == opacity


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("ks_threshold", 1.5, "0 to 1"),
        ("attention_thr", "low", "a number"),
        ("background_source", "learnt", "objectness, found"),
        ("background_uncertainty", "no", "true or false"),
        ("gamma", math.nan, "-1, or 0 to 1"),
        ("gamma", -0.5, "-1, or 0 to 1"),
        ("delta", math.inf, "-1, or 0 to 1"),
        ("confidence_threshold", 1.01, "0 to 1"),
        ("confidence_threshold", "0.5", "a number"),
        ("inference_size", 15, "0, or 16 to 4096"),
        ("inference_size", 448.0, "a whole number"),
        ("inference_size", True, "a whole number"),
        ("max_rate", -1.0, "0 to 1000"),
        ("background_filter", "maybe", "auto, on, off"),
        ("input_type", "", "auto, raw, compressed"),
        ("device", "gpu", "cuda:<n>"),
        ("method", "two words", "name of a method"),
        ("method", "magic", "dinoiser, dinoiser-dino, "),
        ("precision", "int4", "float32, bfloat16, float16, int8"),
        ("model", " ", "a name or a path"),
        ("outputs", ["mask", "video"], "mask, confidence"),
        ("prompts", [], "empty"),
        ("prompts", "floor", "a list of texts"),
        ("prompts", [1], "a list of texts"),
        ("prompts", None, "a list of texts"),
        ("image_topics", ["front camera"], "topic names"),
        ("autostart", 1, "true or false"),
    ],
)
def test_bad_values_are_refused_with_a_sentence(name: str, value: Any, reason: str) -> None:
    with pytest.raises(ParameterError) as error:
        check(BY_NAME[name], value)
    assert str(error.value).startswith(name)
    assert reason in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gamma", -1.0),
        ("gamma", 1),
        ("inference_size", 0),
        ("inference_size", 4096),
        ("device", "cuda:1"),
        ("prompts", ("floor", "person")),
        ("image_topics", ["/front/image_raw", "~/rear", "left/image"]),
    ],
)
def test_good_values_are_taken(name: str, value: Any) -> None:
    check(BY_NAME[name], value)


@settings(deadline=None)
@given(st.one_of(st.floats(), st.integers(), st.text(), st.booleans(), st.none(), st.binary()))
def test_any_value_is_taken_or_refused_but_never_worse(value: Any) -> None:
    for option in SPECS:
        try:
            check(option, value)
        except ParameterError as error:
            assert option.name in str(error)


def test_what_configure_reads_is_refused_later() -> None:
    check_changes({"model": "demo"}, configured=False)
    check_changes({"gamma": 0.5, "use_sim_time": True}, configured=True)
    with pytest.raises(ParameterError, match="cleanup"):
        check_changes({"gamma": 0.5, "model": "demo"}, configured=True)


def test_table_has_one_row_for_each_parameter() -> None:
    rows = markdown_table(SPECS).splitlines()
    assert len(rows) == len(SPECS) + 2
    assert all(row.count(" | ") == rows[0].count(" | ") for row in rows[2:])
