# SPDX-License-Identifier: Apache-2.0
"""Class ids that people write in front of prompts: "7=person", "7=floor: wooden floor, carpet"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dinoiser_ros.errors import PromptError
from dinoiser_ros.utils.texts import shorten, without_invisible

_ID = re.compile("0|[1-9][0-9]{0,8}")
_NUMBER = re.compile(r"[+-]?\d\S*")  # in other notations: 0x3, 1e3


def split_ids(prompts: Sequence[str]) -> tuple[list[int | None], list[str]]:
    """The ids that prompts begin with, and the prompts without them.

    An "=" between words belongs to the text. White space around an id and its "="
    does not count.

    Args:
        prompts: as people write them.

    Returns:
        For each prompt its id, None without one, and its text.

    Raises:
        PromptError: something beside an "=" was meant as an id and is none, or nothing follows an
            id. Whether an id can be used is left to `class_ids`.
    """
    pairs = [_split(prompt, number, prompt) for number, prompt in enumerate(prompts, start=1)]
    for number, (given, text) in enumerate(pairs, start=1):
        if given is not None:
            refuse_id(text, number, prompts[number - 1])
    return [given for given, _ in pairs], [text for _, text in pairs]


def refuse_id(text: str, number: int, prompt: str) -> None:
    """Raise `PromptError` if a text has an id where none can be.

    Args:
        text: a prompt, or a part of it, whose id was taken off.
        number: of the prompt, from 1.
        prompt: as a whole, for the message.
    """
    given, _ = _split(text, number, prompt)
    if given is not None:
        raise PromptError(
            f"{_named(number, prompt)} has the id {given} where none can be: only a whole prompt "
            "of the ROS node has one, in front of it, as in '7=floor: wooden floor, carpet'."
        )


def _split(text: str, number: int, prompt: str) -> tuple[int | None, str]:
    """The id at the beginning of a text, None without one, and the rest."""
    left, sign, right = (part.strip() for part in without_invisible(text).partition("="))
    if not sign:
        return None, text
    if _ID.fullmatch(left):
        if not right:
            raise PromptError(
                f"{_named(number, prompt)} has an id and nothing else: write what to look for, for "
                f"example '{left}=person'."
            )
        return int(left), right
    if not any(map(str.isalpha, left)) or _NUMBER.fullmatch(left):
        raise PromptError(
            f"{_named(number, prompt)} has no id in front of '=': write a whole number in plain "
            "digits, for example '7=person'."
        )
    if not right or _ID.fullmatch(right):
        raise PromptError(
            f"{_named(number, prompt)} has its '=' in the wrong place: write the id in front, for "
            "example '7=person'."
        )
    return None, text


def _named(number: int, prompt: str) -> str:
    return f"Prompt {number} ({shorten(without_invisible(prompt).strip())!r})"
