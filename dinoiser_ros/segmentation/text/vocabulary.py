# SPDX-License-Identifier: Apache-2.0
"""From what a person types to classes: parsing, checking and the ids that masks carry.

A prompt is a phrase ("wooden floor") or a class made of several ("floor: wooden floor, carpet"). A
phrase "@tote" names taught examples, see `segmentation.examples`.
Class ids are positions in the list here; the node may give its messages others, see
`messages.class_ids`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dinoiser_ros.errors import PromptError
from dinoiser_ros.messages.class_ids import unlabeled_id
from dinoiser_ros.messages.prompt_ids import refuse_id
from dinoiser_ros.segmentation.examples.example_set import SIGN, is_taught
from dinoiser_ros.utils.texts import cleaned, is_plain, same_look, shorten

BACKGROUND = "background"
MAX_CLASSES = 65534  # ids are uint16 in the messages; 65535 is unlabeled, 65534 `not_finite`
MAX_PHRASE_LENGTH = 200  # characters; CLIP's context is 77 tokens, templates included


@dataclass(frozen=True)
class SegmentationClass:
    """One class of a segmentation.

    Attributes:
        id: what the label image holds for it (0 to 65534).
        name: what people call it.
        phrases: the texts it is recognised by, at least one; one that begins with @ names examples.
    """

    id: int
    name: str
    phrases: tuple[str, ...]


@dataclass(frozen=True)
class Vocabulary:
    """Classes with their text embeddings: immutable, so that it can be swapped between two frames.

    Attributes:
        prompts: the prompts as given, cleaned, in order of class id.
        classes: one for each prompt; `classes[i].id == i`.
        embeddings: (P, d) float32, one for each phrase, in the order of the classes: unit vectors
            for texts, vectors of any length for examples.
        phrase_class: (P,) int64, the class id of each phrase.
    """

    prompts: tuple[str, ...]
    classes: tuple[SegmentationClass, ...]
    embeddings: Tensor
    phrase_class: Tensor

    @property
    def background(self) -> int | None:
        """Id of the class named "background", if there is one."""
        for entry in self.classes:
            if same_look(entry.name) == BACKGROUND:
                return entry.id
        return None

    @property
    def taught(self) -> tuple[str, ...]:
        """The phrases that name examples, such as "@tote"."""
        phrases = (phrase for entry in self.classes for phrase in entry.phrases)
        return tuple(filter(is_taught, phrases))

    @property
    def unlabeled(self) -> int:
        """The label of pixels that belong to no class: 255, or 65535 with more than 254 classes."""
        return unlabeled_id(len(self.classes))

    @property
    def not_finite(self) -> int:
        """The label, of no class, that marks a result with NaN or infinity in it."""
        return self.unlabeled - 1

    def best_of_phrases(self, scores: Tensor) -> Tensor:
        """Reduce phrase scores to class scores: the score of a class is the best of its phrases.

        Args:
            scores: (B, P, h, w).

        Returns:
            (B, K, h, w).
        """
        if len(self.classes) == len(self.phrase_class):
            return scores
        index = self.phrase_class.view(1, -1, 1, 1).expand_as(scores)
        shape = (scores.shape[0], len(self.classes), *scores.shape[2:])
        best = scores.new_full(shape, -torch.inf)
        return best.scatter_reduce(1, index, scores, "amax")


def parse_prompts(prompts: Sequence[str]) -> tuple[tuple[str, ...], tuple[SegmentationClass, ...]]:
    """Clean and check a list of prompts and give its classes.

    A single prompt other than "background" gets "background" in front of it, as in the authors'
    demo: one class alone would take every pixel.

    Args:
        prompts: phrases, or "name: phrase, phrase, ..." for a class of several phrases.

    Returns:
        The cleaned prompts and their classes, ids in the order given.

    Raises:
        PromptError: an entry is no text, empty, too long, has control characters or a class id, or
        repeats another.
    """
    if isinstance(prompts, str) or not isinstance(prompts, Sequence):
        raise PromptError(
            "Prompts must be a list of texts: write ['floor', 'person'], not one text."
        )
    cleaned = tuple(_clean(prompt, f"Prompt {i}") for i, prompt in enumerate(prompts, start=1))
    classes = tuple(_parse(prompt, index) for index, prompt in enumerate(cleaned))
    if not cleaned:
        raise PromptError("There is no prompt: give at least one, for example 'person'.")
    if len(cleaned) > MAX_CLASSES:
        raise PromptError(f"{len(cleaned)} prompts are too many: give at most {MAX_CLASSES}.")
    _refuse_repeats([(entry.id, entry.name) for entry in classes], "class name")
    _refuse_repeats([(entry.id, text) for entry in classes for text in entry.phrases], "phrase")
    if len(cleaned) == 1 and same_look(cleaned[0]) != BACKGROUND:
        # Only now: messages number prompts as they were given.
        if BACKGROUND in map(same_look, (classes[0].name, *classes[0].phrases)):
            raise PromptError(
                f"Prompt 1 ({shorten(prompts[0])!r}) has 'background' in it and is the only one: "
                "give at least one other prompt."
            )
        cleaned = (BACKGROUND, *cleaned)
        classes = tuple(_parse(prompt, index) for index, prompt in enumerate(cleaned))
    return cleaned, classes


def names_examples(prompts: Sequence[str]) -> bool:
    """Whether prompts that `parse_prompts` accepts have a phrase such as "@tote"."""
    if not any(SIGN in prompt for prompt in prompts):
        return False
    return any(is_taught(text) for entry in parse_prompts(prompts)[1] for text in entry.phrases)


def _clean(prompt: str, which: str) -> str:
    """A prompt in one form, see `cleaned`; PromptError for what cannot be a prompt."""
    if not isinstance(prompt, str):
        raise PromptError(f"{which} is a {type(prompt).__name__}: give a text.")
    text = cleaned(prompt)
    if not text:
        raise PromptError(f"{which} is empty: write what to look for, for example 'person'.")
    if not is_plain(text):
        raise PromptError(
            f"{which} has control characters or broken Unicode: write plain text in UTF-8."
        )
    return text


def _parse(prompt: str, index: int) -> SegmentationClass:
    """One cleaned prompt -> its class."""
    name, colon, rest = prompt.partition(":")
    phrases = tuple(map(_phrase, rest.split(","))) if colon else (_phrase(prompt),)
    if not colon and is_taught(phrases[0]):
        name = phrases[0].removeprefix(SIGN)
    name = name.strip()
    if not name or not all(phrase.removeprefix(SIGN) for phrase in phrases):
        raise PromptError(
            f"Prompt {index + 1} ({shorten(prompt)!r}) has an empty part: write a class of several "
            "phrases as 'floor: wooden floor, carpet'."
        )
    if is_taught(name):
        raise PromptError(
            f"Prompt {index + 1} ({shorten(prompt)!r}) has a class name that begins with {SIGN}: "
            f"write it without, as in 'tote: {SIGN}tote'."
        )
    for text in (name, *phrases):
        if len(text) > MAX_PHRASE_LENGTH:
            raise PromptError(
                f"Prompt {index + 1} ({shorten(text)!r}) has {len(text)} characters: "
                f"use at most {MAX_PHRASE_LENGTH}."
            )
        refuse_id(text, index + 1, prompt)
    return SegmentationClass(index, name, phrases)


def _phrase(text: str) -> str:
    """A part of a prompt, without white space around it or after a leading @."""
    text = text.strip()
    return SIGN + text.removeprefix(SIGN).strip() if is_taught(text) else text


def _refuse_repeats(texts: list[tuple[int, str]], what: str) -> None:
    """Raise PromptError if two texts, each with the index of its prompt, look the same."""
    seen: dict[str, int] = {}
    for index, text in texts:
        key = same_look(text)
        if key in seen:
            first = seen[key] + 1
            where = f"prompt {first}" if first == index + 1 else f"prompts {first} and {index + 1}"
            raise PromptError(
                f"The {what} {shorten(text)!r} is given twice, in {where}: remove one of them."
            )
        seen[key] = index
