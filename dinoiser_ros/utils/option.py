# SPDX-License-Identifier: Apache-2.0
"""One option of a program: its default, what it may be, and what it does.

Command lines, ROS parameters, Python arguments and tables in documents are made from `Option`. Its
`check` answers for every way in with one sentence that names the option and says what it takes.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dinoiser_ros.errors import OptionError

# When an option may be set.
START = "at start"
CONFIGURE = "before configure"
RUNNING = "any time"

Value = bool | int | float | str | list[str]


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        name: as in Python and ROS; on the command line with hyphens.
        default: its default; None, which needs `unset`, is then allowed as a value.
        description: what it does, for every kind of help.
        when: START (never changes), CONFIGURE (before the model is loaded) or RUNNING.
        unit: of a number, "" for none.
        minimum, maximum: inclusive range of a number; both or none.
        choices: the texts that a text, or each entry of a list, may be; empty for any.
        special: a number outside the range that is allowed too, with a meaning of its own.
        pattern: regular expression that a text has to match as a whole.
        values_help: in words, what `pattern` or `choices` allow; empty: the choices are listed.
        may_be_empty: whether a list may have no entry.
        unset: what stands for None where that does not exist, as in ROS; it also gives the type.
        unset_means: in words, what is used where nothing, or `unset`, is given.
        special_means: in words, what `special` means.
    """

    name: str
    default: Value | None
    description: str
    when: str = RUNNING
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    special: float | None = None
    pattern: str = ""
    values_help: str = ""
    may_be_empty: bool = False
    unset: bool | int | float | str | None = None
    unset_means: str = ""
    special_means: str = ""

    @property
    def kind(self) -> type:
        """The type of its values: bool, int, float, str or list (of texts)."""
        return type(self.unset if self.default is None else self.default)

    @property
    def type_name(self) -> str:
        """Its type in words."""
        return _TYPE_NAMES[self.kind] + (", or None" if self.default is None else "")

    @property
    def takes(self) -> str:
        """What it takes, in words."""
        if self.values_help:
            return self.values_help
        if self.choices:
            one = "a list of" if self.kind is list else "one of"
            return f"{one}: {', '.join(self.choices)}"
        if self.minimum is None:
            return self.type_name
        special = "" if self.special is None else f"{self.special:g}, or "
        none = ", or None" if self.default is None else ""
        return f"{special}{self.minimum:g} to {self.maximum:g}{none}"

    def check(self, value: object) -> None:
        """Raise `OptionError` unless the option can have this value."""
        fault = self.fault(value)
        if fault is not None:
            raise OptionError(fault)

    def fault(self, value: object) -> str | None:
        """Why the option cannot have this value, in one sentence; None if it can."""
        if value is None and self.default is None:
            return None
        if not _has_type(value, self.kind):
            given = "None" if value is None else f"{type(value).__name__} {_short(value)}"
            return f"{self.name} has to be {self.type_name}, not {given}{self._quoting(value)}."
        if self.kind is list:
            return self._list_fault(value)
        allowed = self._allows_text(value) if self.kind is str else self._allows_number(value)
        return None if allowed else self._refusal(value)

    def without_none(self) -> Option:
        """The same option for places that know no None, such as ROS; see `value_of`."""
        if self.default is not None or self.unset is None:
            return self
        sign = "empty" if self.unset == "" else f"{self.unset:g}"
        link = " " if self.description.endswith(".") else "; "
        return dataclasses.replace(
            self,
            default=self.unset,
            description=f"{self.description}{link}{sign}: {self.unset_means}.",
            special=None if isinstance(self.unset, str) else self.unset,
            special_means="",
        )

    def value_of(self, given: Any) -> Any:
        """The value that a place without None means: `unset` is None, all else itself."""
        if self.default is not None or not _has_type(given, self.kind):
            return given
        return None if given == self.unset else given

    def in_its_type(self, given: Any) -> Any:
        """A value in the option's own type where its meaning is plain; all else as it is.

        A whole number stands for one with a decimal point. YAML makes true and false of an unquoted
        on and off, which become texts again where the option knows those.
        """
        if self.kind is float and isinstance(given, int) and not isinstance(given, bool):
            return float(given)
        if self.kind is str and isinstance(given, bool) and {"on", "off"} <= set(self.choices):
            return "on" if given else "off"
        return list(given) if self.kind is list and isinstance(given, tuple) else given

    def _quoting(self, value: object) -> str:
        """How to write a value that YAML did not take for a text, for the end of a sentence."""
        if self.kind is str and value is not None:
            written = str(value).lower() if isinstance(value, bool) else str(value)
            return f": in YAML, write it in quotes: '{written}'"
        if self.kind is list and isinstance(value, str):
            return f": write {quoted([value])}"
        return ""

    def _list_fault(self, value: Any) -> str | None:
        if not value and not self.may_be_empty:
            return f"{self.name} is empty: give at least one entry."
        for entry in value:
            if not isinstance(entry, str):
                return (
                    f"{self.name} has to be {self.type_name}, and YAML takes {_short(entry)} for "
                    "something else: write each entry in quotes, for example "
                    f"{quoted(self.choices[:1] or ['floor', 'yes', '7'])}."
                )
            if not self._allows_text(entry):
                return self._refusal(entry)
        return None

    def _allows_text(self, value: Any) -> bool:
        if self.choices and value not in self.choices:
            return False
        return not self.pattern or re.fullmatch(self.pattern, value) is not None

    def _allows_number(self, value: Any) -> bool:
        if value == self.special or self.kind is bool:
            return True
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        return bool(low <= value <= high)  # False for NaN

    def _refusal(self, value: object) -> str:
        listed = f" ({', '.join(self.choices)})" if self.values_help and self.choices else ""
        return f"{self.name} cannot be {_short(value)}: it takes {self.takes}{listed}."


def by_name(options: Iterable[Option]) -> dict[str, Option]:
    """Options by their names."""
    return {option.name: option for option in options}


def quoted(texts: Iterable[str]) -> str:
    """Texts as a list in YAML that every parser reads as texts: ['floor', 'yes']."""
    return "[" + ", ".join("'" + text.replace("'", "''") + "'" for text in texts) + "]"


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """For the end of a sentence about a name that does not exist: the nearest that does, or "".

    Args:
        name: as it was written.
        names: all that exist.
    """
    known = list(names)
    near = difflib.get_close_matches(name.casefold(), known, n=1, cutoff=0.6)
    whole = [other for other in known if name.startswith(f"{other}.")]
    return "".join(f": did you mean '{other}'?" for other in (whole or near)[:1])


def with_nearest(name: str, names: Iterable[str], where: str = "") -> str:
    """A name that does not exist as part of a list: quoted, where it is written, the nearest."""
    near = did_you_mean(name, names).removeprefix(": ")
    return f"'{name}'{where}" + (f" ({near})" if near else "")


_TYPE_NAMES: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number with a decimal point",
    str: "a text",
    list: "a list of texts",
}

# A whole number is a number with a decimal point, too; a list may be a tuple.
_ACCEPTED: dict[type, tuple[type, ...]] = {float: (float, int), list: (list, tuple)}


def _has_type(value: object, kind: type) -> bool:
    if isinstance(value, bool):  # it is an int to Python, but not a number to people
        return kind is bool
    return isinstance(value, _ACCEPTED.get(kind, (kind,)))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
