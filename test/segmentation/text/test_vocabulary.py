# SPDX-License-Identifier: Apache-2.0
"""Prompts: what is accepted, what is refused and why, and the ids that classes get."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dinoiser_ros.segmentation import PromptError
from dinoiser_ros.segmentation.text.vocabulary import (
    MAX_PHRASE_LENGTH,
    SegmentationClass,
    Vocabulary,
    parse_prompts,
)


def test_ids_follow_the_order_given():
    prompts, classes = parse_prompts(["person", "wooden  floor ", "background"])
    assert prompts == ("person", "wooden floor", "background")
    assert [(c.id, c.name, c.phrases) for c in classes] == [
        (0, "person", ("person",)),
        (1, "wooden floor", ("wooden floor",)),
        (2, "background", ("background",)),
    ]


def test_a_class_of_several_phrases():
    _, classes = parse_prompts(["floor: wooden floor, carpet ,tiles", "person"])
    assert classes[0] == SegmentationClass(0, "floor", ("wooden floor", "carpet", "tiles"))


def test_a_comma_without_a_name_stays_in_the_phrase():
    _, classes = parse_prompts(["person", "small, red box"])
    assert classes[1].phrases == ("small, red box",)


@pytest.mark.parametrize("prompt", ["person", "floor: carpet, tiles"])
def test_a_single_prompt_gets_a_background(prompt):
    prompts, classes = parse_prompts([prompt])
    assert prompts == ("background", prompt)
    assert classes[0].name == "background"


def test_background_alone_stays_alone():
    assert parse_prompts(["Background"])[0] == ("Background",)


def test_arguments_that_a_locale_could_not_read_are_read_as_utf8():
    typed = "Fußboden: 床, café".encode().decode("ascii", "surrogateescape")  # LC_ALL=C
    assert parse_prompts([typed, "wall"]) == parse_prompts(["Fußboden: 床, café", "wall"])


@pytest.mark.parametrize(
    ("prompts", "reason"),
    [
        ("person", "must be a list"),
        (None, "must be a list"),
        ([], "no prompt"),
        (["person", ""], "Prompt 2 is empty"),
        (["person", " \t\n "], "Prompt 2 is empty"),
        (["person", 3], "Prompt 2 is a int"),
        (["person", "Person"], "given twice"),
        (["floor: carpet", "carpet"], "given twice"),
        (["a: b", "a: c"], "given twice"),
        (["floor:", "person"], "empty part"),
        ([": carpet", "person"], "empty part"),
        (["floor: carpet,, tiles", "person"], "empty part"),
        (["per\x00son", "x"], "control characters"),
        (["\ud800", "x"], "control characters or broken Unicode"),
        (["latin\udce9", "x"], "broken Unicode: write plain text in UTF-8"),
        (["x" * 10_000, "person"], "10000 characters"),
        (["p" * (MAX_PHRASE_LENGTH + 1), "person"], "201 characters"),
        (["wall", "7=person"], r"Prompt 2 \('7=person'\) has the id 7 where none can be"),
        (["floor: 7=carpet", "x"], r"Prompt 1 \('floor: 7=carpet'\) has the id 7 where none"),
        (["wall", "+7=x"], r"Prompt 2 \('\+7=x'\) has no id in front of '='"),
    ],
)
def test_refused_with_a_reason(prompts, reason):
    with pytest.raises(PromptError, match=reason):
        parse_prompts(prompts)


@pytest.mark.parametrize(
    "twin",
    [
        "cafe\u0301 floor", "\ufeffcafé floor", "café\u200b floor", "ca\u00adfé floor",
        "café\u00a0floor", "\u202acafé floor\u202c", "café \ufb02oor", "CAFÉ\u2003floor",
        "café\ufe0f floor", "caf\u2060é floor", "ｃａｆé floor",
    ],
)  # fmt: skip
def test_prompts_that_look_the_same_are_one(twin: str) -> None:
    with pytest.raises(PromptError, match="is given twice, in prompts 1 and 3"):
        parse_prompts(["café floor", "wall", twin])


def test_what_cannot_be_seen_is_dropped() -> None:
    cleaned, classes = parse_prompts(["\ufefffloor: car\u200bpet , \u200btiles", "cafe\u0301"])
    assert cleaned == ("floor: carpet , tiles", "café")
    assert classes[0].phrases == ("carpet", "tiles")
    for nothing in ("\u200b", "\ufeff \u2060", "\u3164"):
        with pytest.raises(PromptError, match="Prompt 2 is empty"):
            parse_prompts(["floor", nothing])


@pytest.mark.parametrize(
    ("prompts", "reason"),
    [
        (["floor: carpet, "], r"^Prompt 1 \('floor: carpet,'\) has an empty part"),
        (["x" * 201], "^Prompt 1 .* has 201 characters"),
        (["floor: carpet, carpet"], "in prompt 1:"),
        (["floor: background"], "^Prompt 1 .* has 'background' in it"),
        (["background: wall"], "^Prompt 1 .* has 'background' in it"),
    ],
)
def test_a_single_prompt_is_the_first_in_messages(prompts: list[str], reason: str) -> None:
    """Though its class has the id 1."""
    with pytest.raises(PromptError, match=reason):
        parse_prompts(prompts)


@pytest.mark.parametrize("prompt", ["человек", "木の床", "🦺", "chaise à bascule", "café-table №5"])
def test_other_languages_and_emoji_are_texts(golden, prompt):
    classes = golden.set_prompts([prompt, "person"])
    assert classes[0].name == prompt


texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30)


@given(st.lists(texts, max_size=8))
def test_any_list_is_parsed_or_refused(prompts):
    try:
        cleaned, classes = parse_prompts(prompts)
    except PromptError as error:
        assert str(error).endswith(".")
        return
    assert [c.id for c in classes] == list(range(len(cleaned)))
    assert len({c.name.casefold() for c in classes}) == len(classes)
    assert all(c.phrases and all(p == p.strip() and p for p in c.phrases) for c in classes)
    assert parse_prompts(cleaned) == (cleaned, classes), "cleaning twice changes nothing"


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=6),
    st.integers(0, 2**31),
)
def test_a_class_scores_as_the_best_of_its_phrases(sizes, seed):
    classes = tuple(
        SegmentationClass(i, f"c{i}", tuple(f"c{i}p{j}" for j in range(n)))
        for i, n in enumerate(sizes)
    )
    owners = torch.tensor([c.id for c in classes for _ in c.phrases])
    vocabulary = Vocabulary((), classes, torch.zeros(len(owners), 2), owners)
    scores = torch.randn(2, len(owners), 2, 3, generator=torch.Generator().manual_seed(seed))
    best = vocabulary.best_of_phrases(scores)
    for entry in classes:
        assert torch.equal(best[:, entry.id], scores[:, owners == entry.id].amax(dim=1))


def test_failed_prompts_leave_everything_as_it_was(golden):
    before = golden.vocabulary
    for bad in (["person", ""], ["n0 " * 60, "person"]):
        with pytest.raises(PromptError):
            golden.set_prompts(bad)
        assert golden.vocabulary is before


def test_a_phrase_longer_than_the_context_is_refused(golden):
    with pytest.raises(PromptError, match="tokens too long"):
        golden.set_prompts(["n0 " * 60, "person"])


def test_known_phrases_are_not_embedded_again(golden, monkeypatch):
    encoded = []
    encode = golden._text._tower

    def counting(tokens):
        encoded.append(len(tokens))
        return encode(tokens)

    counting.device = encode.device
    monkeypatch.setattr(golden._text, "_tower", counting)
    golden.set_prompts(["person", "background"])
    assert encoded == []
    first = golden.set_prompts(["person", "blue door"])
    assert sum(encoded) == 80
    assert golden.set_prompts(["person", "blue door"]) == first
    assert sum(encoded) == 80


def test_a_phrase_does_not_depend_on_its_company(golden):
    alone = golden._text._compute(["blue door"])["blue door"]
    together = golden._text._compute(["spilled coffee on a carpet", "blue door", "cup"])
    assert torch.equal(alone, together["blue door"])
