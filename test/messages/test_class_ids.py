# SPDX-License-Identifier: Apache-2.0
"""The ids of classes over any sequence of lists of prompts."""

from __future__ import annotations

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinoiser_ros.errors import PromptError
from dinoiser_ros.messages.class_ids import BY_NAME, BY_POSITION, IdHistory, unlabeled_id

names = st.text("abcdefgh", min_size=1, max_size=2)
name_lists = st.lists(names, min_size=1, max_size=12, unique=True)
# A list of prompts: names, each with an id or without. Few ids, so that they often clash.
numbered = st.lists(
    st.tuples(names, st.none() | st.integers(0, 6)),
    min_size=1, max_size=8, unique_by=lambda pair: pair[0],
)  # fmt: skip


def after(history: IdHistory, names: list[str], policy: str = BY_NAME) -> IdHistory:
    return history.next(names, [None] * len(names), policy)


def ids(history: IdHistory) -> dict[str, int]:
    return {history.names[number]: number for number in history.in_use}


@given(name_lists)
def test_at_start_ids_are_positions(names: list[str]) -> None:
    for policy in (BY_NAME, BY_POSITION):
        assert after(IdHistory(), names, policy).in_use == tuple(range(len(names)))


@given(st.lists(name_lists, max_size=12))
def test_a_name_that_stays_keeps_its_id(lists: list[list[str]]) -> None:
    history = IdHistory()
    for names in lists:
        before, history = ids(history), after(history, names)
        now = ids(history)
        assert list(now) == names and len(set(now.values())) == len(names)
        assert {n: now[n] for n in names if n in before} == {
            n: before[n] for n in names if n in before
        }


@given(st.lists(name_lists, max_size=12))
def test_an_id_means_one_name_while_others_were_never_used(lists: list[list[str]]) -> None:
    """12 lists of 12 names do not use up 255 ids."""
    meant: dict[int, str] = {}
    history = IdHistory()
    for names in lists:
        history = after(history, names)
        for name, number in ids(history).items():
            assert meant.setdefault(number, name) == name


@given(st.lists(numbered, max_size=12), st.sampled_from([BY_NAME, BY_POSITION]))
def test_with_explicit_ids_no_two_classes_share_one(
    lists: list[list[tuple[str, int | None]]], policy: str
) -> None:
    history = IdHistory()
    for pairs in lists:
        names, given_ids = zip(*pairs, strict=True)
        try:
            history = history.next(names, given_ids, policy)
        except PromptError as error:
            assert str(error).startswith("Prompt") and str(error).endswith(".")
            continue
        now = ids(history)
        assert list(now) == list(names) and len(set(now.values())) == len(names)
        for name, asked in pairs:
            assert asked is None or now[name] == asked


@given(st.data())
def test_an_id_is_given_to_another_class_only_after_all_others_were(data: st.DataObject) -> None:
    """With 250 classes 5 ids are left: a new name gets the one that was released first."""
    history = after(IdHistory(), [f"old {number}" for number in range(250)])
    fresh = iter(range(10_000))
    released: dict[int, int] = {}  # id -> number of the change that released it
    for change in range(12):
        names = list(ids(history))
        gone = data.draw(st.sets(st.sampled_from(names), max_size=6))
        added = [f"new {next(fresh)}" for _ in gone]
        before = ids(history)
        history = after(history, [name for name in names if name not in gone] + added)
        now = ids(history)
        free_before = set(range(255)) - set(before.values())
        given_away = [now[name] for name in added]
        kept_free = free_before - set(given_away)
        for number in set(given_away) & set(released):
            assert not kept_free - set(released), "one that was never used was left"
            assert all(released[number] <= released[other] for other in kept_free)
        freed = {before[name] for name in gone}
        if len(added) <= len(free_before):
            assert not freed & set(given_away), "released by this very change"
        for number in given_away:
            released.pop(number, None)
        released |= dict.fromkeys(freed - set(given_away), change)


def test_a_class_that_comes_back_gets_its_id_again() -> None:
    history = reduce(after, [["floor", "person"], ["wall", "box"], ["cone", "person"]], IdHistory())
    assert ids(history) == {"cone": 4, "person": 1}


def test_an_explicit_id_is_kept_like_any_other() -> None:
    history = IdHistory().next(["floor", "person"], [None, 7], BY_NAME)
    assert ids(history) == {"floor": 0, "person": 7}
    assert ids(after(history, ["person", "wall"])) == {"person": 7, "wall": 1}
    assert ids(history.next(["person"], [3], BY_NAME)) == {"person": 3}
    swapped = history.next(["floor", "person"], [7, 0], BY_NAME)
    assert ids(swapped) == {"floor": 7, "person": 0}


def test_a_class_that_comes_back_gives_way_to_an_explicit_id() -> None:
    history = reduce(after, [["floor", "person"], ["floor", "wall"]], IdHistory())
    history = history.next(["floor", "person", "cone"], [None, None, 1], BY_NAME)
    assert ids(history) == {"floor": 0, "person": 3, "cone": 1}


def test_a_background_that_was_added_has_an_id_and_no_number() -> None:
    history = IdHistory().next(["background", "person"], [0], BY_NAME)
    assert ids(history) == {"background": 1, "person": 0}
    with pytest.raises(PromptError) as error:
        history.next(["background", "person"], [1], BY_NAME)
    assert str(error.value) == (
        "Prompt 1 asks for the id 1, which is that of the class 'background': ask for another one, "
        "or give that class an id as well."
    )


@pytest.mark.parametrize(
    ("policy", "given_ids", "reason"),
    [
        (BY_NAME, [None, 5, 5], "Prompts 2 and 3 both ask for the id 5: "),
        (BY_NAME, [None, 300, None], "Prompt 2 asks for the id 300: .* 0 to 254, and 255 means"),
        (BY_NAME, [255, None, None], "Prompt 1 asks for the id 255: "),
        (BY_NAME, [None, None, 1], "Prompt 3 asks for the id 1, .* class 'b' of prompt 2: "),
        (BY_POSITION, [2, None, None], "Prompt 1 asks for the id 2, .* class 'c' of prompt 3: "),
        (BY_POSITION, [None, 254, 254], "Prompts 2 and 3 both"),
    ],
)
def test_ids_that_cannot_be_given(policy: str, given_ids: list[int | None], reason: str) -> None:
    history = after(IdHistory(), ["a", "b", "c"], policy)
    with pytest.raises(PromptError, match=f"^{reason}"):
        history.next(["a", "b", "c"], given_ids, policy)


def test_more_classes_than_a_byte() -> None:
    many = [f"class {number}" for number in range(300)]
    history = after(IdHistory(), many)
    assert history.in_use == tuple(range(300))
    assert history.next(many, [65534] + [None] * 299, BY_NAME).in_use[:2] == (65534, 1)
    with pytest.raises(PromptError, match="mono16, whose ids are 0 to 65534, and 65535 means"):
        history.next(many, [65535] + [None] * 299, BY_NAME)
    few = ids(after(history, ["class 299", "class 5", "new"]))
    assert few["class 5"] == 5 and max(few.values()) <= 254, "a byte has to hold them again"
    assert len(set(few.values())) == 3


def test_all_ids_of_a_byte_can_be_used_for_ever() -> None:
    history = IdHistory()
    for change in range(20):
        history = after(history, [f"{change}.{number}" for number in range(254)])
        assert len(set(history.in_use)) == 254 and max(history.in_use) <= 254


@pytest.mark.parametrize(("classes", "wanted"), [(1, 255), (254, 255), (255, 65535), (300, 65535)])
def test_unlabeled_id(classes: int, wanted: int) -> None:
    assert unlabeled_id(classes) == wanted
