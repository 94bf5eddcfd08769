# SPDX-License-Identifier: Apache-2.0
"""The ids of classes in messages: chosen by people, kept by name, or positions in the list.

Whoever reads masks may remember ids for a while: a costmap layer keeps them in its tiles for
seconds. By name, an id therefore means one class for as long as possible: the class has it while it
is in use and gets it again when it comes back, and another class gets it only when there is no id
left that was never used, and then the one that was in use the longest time ago.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType

from dinoiser_ros.errors import PromptError

BY_NAME = "by_name"
BY_POSITION = "by_position"
POLICIES = (BY_NAME, BY_POSITION)

UNLABELED_8BIT = 255
UNLABELED_16BIT = 65535


def unlabeled_id(classes: int) -> int:
    """The id that means "unlabeled" for a number of classes: 255, or 65535 with more than 254."""
    return UNLABELED_8BIT if classes < UNLABELED_8BIT else UNLABELED_16BIT


@dataclass(frozen=True)
class IdHistory:
    """Which class has which id, and which had it: a value, replaced with each list of prompts.

    Attributes:
        names: the name that each id was last given to; the ids not in use come first, those that
            were in use the longest time ago before the others.
        in_use: the ids of the last list, in its order.
    """

    names: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    in_use: tuple[int, ...] = ()

    def next(self, names: Sequence[str], given: Sequence[int | None], policy: str) -> IdHistory:
        """The history after another list of prompts; its `in_use` are the ids of these.

        Args:
            names: of the classes, all different, in the order of the prompts. If there is one more
                than prompts, the first class has no prompt.
            given: the id that each prompt asks for, None for any.
            policy: what the other classes get, one of `POLICIES`.

        Raises:
            PromptError: an id cannot be given.
        """
        extra = len(names) - len(given)
        wanted = [*[None] * extra, *given]
        last = unlabeled_id(len(names)) - 1
        _check(given, last)
        if policy == BY_POSITION:
            ids = _by_position(wanted)
            _refuse_taken(names, wanted, ids, extra)
        else:
            ids = self._by_name(names, wanted, extra, last)
        now = dict(zip(ids, names, strict=True))
        before = {number: name for number, name in self.names.items() if number not in now}
        return IdHistory(MappingProxyType(before | now), tuple(ids))

    def _by_name(
        self, names: Sequence[str], wanted: Sequence[int | None], extra: int, last: int
    ) -> list[int]:
        known = {name: number for number, name in self.names.items()}  # the newest id of a name
        own = [known.get(name) for name in names]
        in_use = set(self.in_use)
        _refuse_taken(names, wanted, [n if n in in_use else None for n in own], extra)
        # A class that comes back may find its id given away, and one that had many others beside it
        # may find that its id does not fit the mask any more.
        kept = {n for n in own if n is not None and n <= last}.difference(wanted)
        ids = [
            (number if number in kept else None) if asked is None else asked
            for number, asked in zip(own, wanted, strict=True)
        ]
        taken = set(ids)
        never_used = (number for number in range(last + 1) if number not in self.names)
        used = (number for number in self.names if number <= last)
        free = (number for number in chain(never_used, used) if number not in taken)
        return [next(free) if number is None else number for number in ids]


def _by_position(wanted: Sequence[int | None]) -> list[int]:
    return [place if asked is None else asked for place, asked in enumerate(wanted)]


def _check(given: Sequence[int | None], last: int) -> None:
    """Raise PromptError for ids that a mask cannot hold, or that two prompts ask for."""
    seen: dict[int, int] = {}
    for number, asked in enumerate(given, start=1):
        if asked is None:
            continue
        if asked > last:
            bits = 8 if last < UNLABELED_8BIT else 16
            raise PromptError(
                f"Prompt {number} asks for the id {asked}: the mask is mono{bits}, whose ids are 0 "
                f"to {last}, and {last + 1} means unlabeled."
            )
        if asked in seen:
            raise PromptError(
                f"Prompts {seen[asked]} and {number} both ask for the id {asked}: give each an id "
                "of its own."
            )
        seen[asked] = number


def _refuse_taken(
    names: Sequence[str], wanted: Sequence[int | None], has: Sequence[int | None], extra: int
) -> None:
    """Raise PromptError if a prompt asks for an id that another class has without asking.

    Args:
        names: of the classes.
        wanted: the ids asked for.
        has: the ids that the classes have in any case.
        extra: number of classes in front that have no prompt.
    """
    owners = {
        number: place
        for place, (number, asked) in enumerate(zip(has, wanted, strict=True))
        if number is not None and asked is None
    }
    for place, asked in enumerate(wanted):
        if asked is not None and asked in owners:
            owner = owners[asked]
            which = f" of prompt {owner + 1 - extra}" if owner >= extra else ""
            raise PromptError(
                f"Prompt {place + 1 - extra} asks for the id {asked}, which is that of the class "
                f"{names[owner]!r}{which}: ask for another one, or give that class an id as well."
            )
