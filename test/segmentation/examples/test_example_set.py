# SPDX-License-Identifier: Apache-2.0
"""Names of examples, and the prompts that name them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from dinoiser_ros.errors import ExampleError, PromptError
from dinoiser_ros.segmentation.examples.example_set import (
    MAX_EXAMPLES,
    MAX_EXAMPLES_OF_A_NAME,
    Example,
    ExampleSet,
    clean_name,
)
from dinoiser_ros.segmentation.text.vocabulary import names_examples, parse_prompts

ONE = Example(torch.ones(1), torch.ones(64, 1))
UNUSABLE = ("", "  ", "a,b", "a: b", "@tote", "7=tote", "a\x00b", "\ud800", "x" * 101, 3, None)


@pytest.mark.parametrize("name", UNUSABLE)
def test_names_that_no_prompt_could_name_are_refused(name: object) -> None:
    with pytest.raises(ExampleError):
        ExampleSet().adding(name, [ONE])  # type: ignore[arg-type]


@example("BACKGROUND")  # which cannot be the only prompt
@given(st.text(max_size=110))
def test_a_name_that_can_be_taught_can_be_named_in_a_prompt(name: str) -> None:
    try:
        taught = ExampleSet().adding(name, [ONE])
    except ExampleError:
        return
    for prompt in (f"@{name}", f"thing: some thing, @ {name}"):
        phrase = parse_prompts([prompt, "wall of stone"])[1][0].phrases[-1]
        assert taught.find(phrase) == [ONE]
        assert names_examples([prompt, "wall of stone"])
    assert clean_name(clean_name(name)) == clean_name(name)


def test_a_name_is_read_as_prompts_are_in_a_locale_that_is_not_utf8() -> None:
    typed = "Kübel\u200b  blau".encode().decode("ascii", "surrogateescape")  # LC_ALL=C
    assert clean_name(typed) == "Kübel blau"
    assert parse_prompts([f"@{typed}", "wall"]) == parse_prompts(["@Kübel blau", "wall"])


@given(st.lists(st.text(alphabet="ab@,: =", max_size=8), max_size=3))
def test_prompts_are_parsed_or_refused_with_a_sentence(prompts: list[str]) -> None:
    try:
        _, classes = parse_prompts(prompts)
    except PromptError as error:
        assert str(error).endswith(".")
        return
    for entry in classes:
        assert entry.name and not entry.name.startswith("@") and "@" not in entry.phrases


def test_a_class_by_examples_only_has_their_name() -> None:
    _, classes = parse_prompts(["@ blue  tote", "tote: grey tote, @tote"])
    assert [(entry.name, entry.phrases) for entry in classes] == [
        ("blue tote", ("@blue tote",)),
        ("tote", ("grey tote", "@tote")),
    ]
    assert parse_prompts(["@tote"])[0] == ("background", "@tote")


def test_names_that_look_the_same_are_one() -> None:
    taught = ExampleSet().adding("Tote", [ONE]).adding(" tote", [ONE])
    assert taught.counts == {"Tote": 2} and len(taught.find("@TOTE")) == 2


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    taught = ExampleSet().adding("blue tote", [ONE]).adding("pallet", [ONE])
    with pytest.raises(PromptError, match="did you mean 'blue tote'"):
        taught.find("@blue toat")
    with pytest.raises(PromptError, match="'blue tote', 'pallet'"):
        taught.find("@xyz")
    with pytest.raises(PromptError, match="teach it by an example first"):
        ExampleSet().find("@tote")


def test_examples_are_bounded() -> None:
    with pytest.raises(ExampleError, match=f"more than {MAX_EXAMPLES_OF_A_NAME}"):
        ExampleSet().adding("tote", [ONE] * 10_000)
    full = ExampleSet()
    for number in range(MAX_EXAMPLES // MAX_EXAMPLES_OF_A_NAME):
        full = full.adding(f"tote {number}", [ONE] * MAX_EXAMPLES_OF_A_NAME)
    with pytest.raises(ExampleError, match=f"more than {MAX_EXAMPLES}"):
        full.adding("another", [ONE])


def test_the_newest_are_removed_first() -> None:
    other = Example(torch.zeros(1), torch.zeros(64, 1))
    taught = ExampleSet().adding("a", [ONE]).adding("b", [ONE]).adding("a", [other])
    left = taught.removing("A", 1)
    assert left.counts == {"a": 1, "b": 1} and left.find("@a") == [ONE]
    assert taught.removing("a").counts == {"b": 1}
    for name, newest in (("a", 3), ("a", 0), ("c", None)):
        with pytest.raises(ExampleError):
            taught.removing(name, newest)
