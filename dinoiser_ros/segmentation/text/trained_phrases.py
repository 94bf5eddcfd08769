# SPDX-License-Identifier: Apache-2.0
"""The phrases that a closed-set network was trained with, in place of CLIP's text tower."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from dinoiser_ros.errors import PromptError
from dinoiser_ros.segmentation.examples.example_set import ExampleSet, is_taught
from dinoiser_ros.utils.texts import same_look, shorten

from .taught_phrases import check_taught, class_embeddings
from .vocabulary import BACKGROUND, SegmentationClass, Vocabulary, parse_prompts

_LISTED = 12  # trained phrases that an error message names


class TrainedText:
    """Prompts among those that a network was trained with: any of them, in any order and grouping.

    A phrase means itself. The name of a trained class means all phrases of that class. "background"
    that was not trained means everything trained that no other prompt asks for.

    Args:
        trained: the classes that the network was trained with.
    """

    cache_problem = None  # as `TextEncoder` has it: nothing is embedded here, and nothing kept

    def __init__(self, trained: Vocabulary) -> None:
        self.trained = trained
        self.examples = ExampleSet()  # as `TextEncoder` has them
        phrases = [phrase for entry in trained.classes for phrase in entry.phrases]
        self._rows = {same_look(phrase): row for row, phrase in enumerate(phrases)}
        self._phrases = phrases
        self._by_name = {same_look(entry.name): entry.phrases for entry in trained.classes}

    def to(self, device: torch.device) -> TrainedText:
        """The same on another device."""
        tensors = (self.trained.embeddings.to(device), self.trained.phrase_class.to(device))
        return TrainedText(Vocabulary(self.trained.prompts, self.trained.classes, *tensors))

    def check(self, prompts: Sequence[str]) -> None:
        """Raise PromptError for prompts that `vocabulary` refuses."""
        self.vocabulary(prompts)

    def vocabulary(self, prompts: Sequence[str]) -> Vocabulary:
        """The classes of prompts, with the embeddings that the network was trained with.

        Args:
            prompts: as in `parse_prompts`; none for all trained classes in their order.

        Raises:
            PromptError: see `parse_prompts`; or a phrase was not trained.
        """
        if isinstance(prompts, (list, tuple)) and not prompts:
            return self.trained
        cleaned, parsed = parse_prompts(prompts)
        examples = self.examples
        check_taught(parsed, examples)
        known = [self._known(entry) for entry in parsed]
        asked = Counter(phrase for phrases in known for phrase in phrases)
        twice = [phrase for phrase, count in asked.items() if count > 1]
        if twice:
            raise PromptError(f"The phrase {twice[0]!r} is asked for twice: remove one of them.")
        rest = [phrase for phrase in self._phrases if phrase not in asked]
        classes = tuple(
            replace(entry, phrases=tuple(phrases or self._background(rest)))
            for entry, phrases in zip(parsed, known, strict=True)
        )
        everything = self.trained.embeddings
        embeddings = class_embeddings(classes, examples, self._embeddings, lambda: everything)
        owners = [entry.id for entry in classes for _ in entry.phrases]
        owner_tensor = torch.tensor(owners, device=everything.device)
        return Vocabulary(cleaned, classes, embeddings, owner_tensor)

    def _embeddings(self, phrases: Sequence[str]) -> Tensor:
        """(P, d): those that the network was trained with."""
        return self.trained.embeddings[[self._rows[same_look(phrase)] for phrase in phrases]]

    def _known(self, entry: SegmentationClass) -> list[str]:
        """The trained phrases that a class asks for; none for a background that was not trained."""
        phrases: list[str] = []
        for phrase in entry.phrases:
            key = same_look(phrase)
            if is_taught(phrase):
                phrases.append(phrase)
            elif key in self._rows:
                phrases.append(self._phrases[self._rows[key]])
            elif key in self._by_name:
                phrases += self._by_name[key]
            elif key != BACKGROUND or len(entry.phrases) > 1:
                raise PromptError(
                    f"{shorten(phrase)!r} was not trained: this checkpoint knows only: "
                    f"{self._listed()}; use these, or train one that knows it."
                )
        return phrases

    def _background(self, rest: list[str]) -> list[str]:
        if not rest:
            raise PromptError(
                "'background' was not trained, and the other prompts ask for all that this "
                "checkpoint knows: remove it."
            )
        return rest

    def _listed(self) -> str:
        more = len(self._phrases) - _LISTED
        return ", ".join(self._phrases[:_LISTED]) + (f" and {more} more" if more > 0 else "")
