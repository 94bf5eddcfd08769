# SPDX-License-Identifier: Apache-2.0
"""Numbers of command lines: what is allowed passes unchanged, all else is refused in a sentence."""

from __future__ import annotations

import argparse
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinoiser_ros.cli.main import main
from dinoiser_ros.utils.number_types import (
    count,
    finite_number,
    not_negative,
    positive,
    share,
    whole_number,
)


@given(st.integers(), st.integers(), st.integers())
def test_whole_numbers_pass_from_the_least_to_the_most(value: int, one: int, other: int) -> None:
    least, most = min(one, other), max(one, other)
    parse = whole_number(least, most)
    if least <= value <= most:
        assert parse(str(value)) == value
    else:
        with pytest.raises(argparse.ArgumentTypeError) as refused:
            parse(str(value))
        assert str(refused.value) == f"'{value}' is not a whole number from {least} to {most}"


@given(st.floats(), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_numbers_pass_if_they_are_in_the_range(value: float, one: float, other: float) -> None:
    least, most = min(one, other), max(one, other)
    parse = finite_number(least, most)
    if math.isfinite(value) and least <= value <= most:
        assert parse(repr(value)) == value
    else:
        with pytest.raises(argparse.ArgumentTypeError, match="is not a number from"):
            parse(repr(value))


@pytest.mark.parametrize("parse", [positive, count, not_negative, share])
@given(text=st.text() | st.from_regex(r"[-+]?[0-9_.e]{1,8}", fullmatch=True))
def test_any_text_gives_a_number_in_the_range_or_a_sentence(parse, text: str) -> None:
    least, most = (1 if parse is positive else 0), (1 if parse is share else math.inf)
    try:
        value = parse(text)
    except argparse.ArgumentTypeError as refused:
        assert " is not a " in str(refused) and "\n" not in str(refused)
    else:
        assert least <= value <= most and math.isfinite(value)


@pytest.mark.parametrize(
    ("parse", "text", "sentence"),
    [
        (share, "7", "'7' is not a number from 0 to 1"),
        (share, "nan", "'nan' is not a number from 0 to 1"),
        (not_negative, "inf", "'inf' is not a number from 0 on"),
        (positive, "many", "'many' is not a whole number from 1 on"),
        (count, "1.5", "'1.5' is not a whole number from 0 on"),
        (finite_number(0.05, 5, "s"), "9", "'9' is not a number of s from 0.05 to 5"),
    ],
)
def test_the_sentence_says_what_is_allowed(parse, text: str, sentence: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        parse(text)
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("quantize --images . -p a --least-agreement 7", "'7' is not a number from 0 to 1"),
        ("quantize --images . -p a --most 7", "'7' is not a whole number from 8 on"),
        ("evaluate sim --limit 0", "'0' is not a whole number from 1 on"),
        ("export --height 0 --width 4", "'0' is not a whole number from 1 on"),
        ("export --gamma nan", "'nan' is not a number from 0 to 1"),
        ("segment . --alpha half", "'half' is not a number from 0 to 1"),
        ("segment . --workers 0", "'0' is not a whole number from 1 on"),
        ("teach tote --remove 0", "'0' is not a whole number from 1 on"),
        ("train-heads . --seed=-1", "'-1' is not a whole number from 0 on"),
        ("web . --port 70000", "'70000' is not a whole number from 0 to 65535"),
    ],
)
def test_commands_refuse_numbers_before_they_start(arguments: str, sentence: str, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments.split())
    assert end.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith(f": {sentence}") and "argument --" in last
