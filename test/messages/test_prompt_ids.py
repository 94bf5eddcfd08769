# SPDX-License-Identifier: Apache-2.0
"""Ids in front of prompts: what is one, what belongs to the text, what is refused and how."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinoiser_ros.errors import PromptError
from dinoiser_ros.messages.prompt_ids import split_ids


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("7=person", (7, "person")),
        ("0=person", (0, "person")),
        ("7=floor: wooden floor, carpet", (7, "floor: wooden floor, carpet")),
        (" 3 = x ", (3, "x")),
        ("\ufeff12\u200b=person", (12, "person")),
        ("2=3", (2, "3")),
        ("3=E=mc2", (3, "E=mc2")),
        ("999999999=x", (999999999, "x")),  # whether a mask can hold it is asked later
        ("person", (None, "person")),
        ("E=mc2 poster", (None, "E=mc2 poster")),
        ("route 66", (None, "route 66")),
    ],
)
def test_ids(prompt: str, expected: tuple[int | None, str]) -> None:
    given, texts = split_ids(["wall", prompt])
    assert (given, texts) == ([None, expected[0]], ["wall", expected[1]])


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("=x", "no id in front"),
        (" = x", "no id in front"),
        ("007=x", "no id in front"),
        ("+3=x", "no id in front"),
        ("-1=x", "no id in front"),
        ("3.0=x", "no id in front"),
        ("0x3=x", "no id in front"),
        ("1e2=x", "no id in front"),
        ("1 2=x", "no id in front"),
        ("#7=x", "no id in front"),
        ("٣=x", "no id in front"),
        ("３=x", "no id in front"),
        ("½=x", "no id in front"),
        ("Ⅶ=x", "no id in front"),
        ("9999999999=x", "no id in front"),
        ("9" * 5000 + "=x", "no id in front"),
        ("3=", "nothing else"),
        ("3=\u200b ", "nothing else"),
        ("3==x", "no id in front"),
        ("3=4=x", "the id 4 where none can be"),
        ("person=7", "in the wrong place"),
        ("person=", "in the wrong place"),
    ],
)
def test_odd_ids_are_refused_in_a_sentence_with_the_prompts_number(
    prompt: str, reason: str
) -> None:
    with pytest.raises(PromptError, match=reason) as error:
        split_ids(["7=wall", prompt])
    sentence = str(error.value)
    assert sentence.startswith("Prompt 2 (") and sentence.endswith(".")
    assert sentence.isprintable() and len(sentence) < 250


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=12), max_size=4))
def test_any_texts_are_split_or_refused(prompts: list[str]) -> None:
    try:
        given, texts = split_ids(prompts)
    except PromptError:
        assert any("=" in prompt for prompt in prompts)
        return
    for prompt, number, text in zip(prompts, given, texts, strict=True):
        assert (text == prompt) if number is None else prompt.strip("\u200b\ufeff ")[:1].isdigit()
    assert split_ids(texts) == ([None] * len(texts), texts), "there is one id at most"
