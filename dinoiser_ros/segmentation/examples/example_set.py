# SPDX-License-Identifier: Apache-2.0
"""The examples that classes are taught by: features of patches, under the names of the classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from dinoiser_ros.errors import ExampleError, PromptError
from dinoiser_ros.messages.prompt_ids import refuse_id
from dinoiser_ros.utils.option import did_you_mean
from dinoiser_ros.utils.texts import cleaned, is_plain, same_look, shorten

SIGN = "@"  # a phrase that begins with it names taught examples
BACKGROUND_PATCHES = 64  # that are kept of each example's picture
MAX_EXAMPLES_OF_A_NAME = 64
MAX_EXAMPLES = 512  # in all: 32 MB for features of 512 numbers
MAX_NAME_LENGTH = 100  # characters


def is_taught(phrase: str) -> bool:
    """Whether a phrase of a prompt names examples, as "@tote" does."""
    return phrase.startswith(SIGN)


def clean_name(name: object) -> str:
    """The name of taught examples as prompts can write it: white space collapsed, composed.

    Raises:
        ExampleError: no prompt can name it: it is empty, too long, begins with @ or an id, or has a
            comma, a colon, control characters or broken Unicode.
    """
    if not isinstance(name, str):
        raise ExampleError(f"The name of a class is a {type(name).__name__}: give a text.")
    text = cleaned(name)
    if not text:
        raise ExampleError("The name of the class is empty: give one, for example 'tote'.")
    if len(text) > MAX_NAME_LENGTH:
        raise ExampleError(
            f"The name {shorten(text)!r} has {len(text)} characters: use at most {MAX_NAME_LENGTH}."
        )
    if not is_plain(text):
        raise ExampleError("The name has control characters or broken Unicode: write plain text.")
    if text.startswith(SIGN) or "," in text or ":" in text:
        raise ExampleError(
            f"The name {shorten(text)!r} cannot be written in a prompt: leave out commas, colons "
            "and a leading @, as in 'blue tote'."
        )
    try:
        refuse_id(text, 1, text)
    except PromptError:
        raise ExampleError(
            f"The name {shorten(text)!r} looks like a class id: leave out the '='."
        ) from None
    return text


@dataclass(frozen=True)
class Example:
    """What is kept of one example.

    Attributes:
        feature: (d,) float32 unit vector, the mean of its patches' features.
        background: (`BACKGROUND_PATCHES`, d) float32 unit vectors, patches of the same picture that
            do not show the class.
    """

    feature: Tensor
    background: Tensor


@dataclass(frozen=True)
class ExampleSet:
    """Examples by name: immutable, so that it can be swapped between two frames.

    Attributes:
        entries: (name, example) in the order in which they were taught.
    """

    entries: tuple[tuple[str, Example], ...] = ()

    def __iter__(self) -> Iterator[tuple[str, Example]]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def counts(self) -> dict[str, int]:
        """How many examples each name has, in the order of the first ones."""
        counts: dict[str, int] = {}
        for name, _ in self.entries:
            counts[name] = counts.get(name, 0) + 1
        return counts

    def known(self, name: str) -> str | None:
        """The name as it was taught that looks like this one; None if there is none."""
        key = same_look(name)
        return next((own for own, _ in self.entries if same_look(own) == key), None)

    def find(self, phrase: str) -> list[Example]:
        """The examples of a phrase such as "@tote".

        Raises:
            PromptError: nothing was taught under this name; it says the nearest one.
        """
        name = phrase.removeprefix(SIGN).strip()
        own = self.known(name)
        if own is None:
            raise PromptError(self.unknown(name))
        return [example for other, example in self.entries if other == own]

    def unknown(self, name: str) -> str:
        """What to say of a name that nothing was taught under: a sentence."""
        names = list(self.counts)
        if not names:
            return (
                f"Nothing was taught under the name {shorten(name)!r}, nor under any other: teach "
                "it by an example first, or set examples_file."
            )
        near = did_you_mean(name, names)
        return f"Nothing was taught under the name {shorten(name)!r}" + (
            f"{near}" if near else f": the names are {', '.join(map(repr, names[:12]))}."
        )

    def adding(self, name: str, examples: Sequence[Example]) -> ExampleSet:
        """With more examples of a name.

        Raises:
            ExampleError: the name cannot be, or there would be too many.
        """
        given = clean_name(name)
        own = self.known(given) or given
        if self.counts.get(own, 0) + len(examples) > MAX_EXAMPLES_OF_A_NAME:
            raise ExampleError(
                f"{shorten(own)!r} would have more than {MAX_EXAMPLES_OF_A_NAME} examples: remove "
                "some first."
            )
        if len(self) + len(examples) > MAX_EXAMPLES:
            raise ExampleError(
                f"There would be more than {MAX_EXAMPLES} examples in all: remove some first."
            )
        return ExampleSet((*self.entries, *((own, example) for example in examples)))

    def removing(self, name: str, newest: int | None = None) -> ExampleSet:
        """Without the examples of a name.

        Args:
            newest: only so many of them, those that were taught last; None: all.

        Raises:
            ExampleError: nothing was taught under this name, or not so many.
        """
        own = self.known(clean_name(name))
        if own is None:
            raise ExampleError(self.unknown(name))
        places = [place for place, (other, _) in enumerate(self.entries) if other == own]
        if newest is not None and not 1 <= newest <= len(places):
            raise ExampleError(
                f"{shorten(own)!r} has {len(places)} examples: remove 1 to {len(places)} of them."
            )
        gone = set(places if newest is None else places[-newest:])
        kept = (entry for place, entry in enumerate(self.entries) if place not in gone)
        return ExampleSet(tuple(kept))
