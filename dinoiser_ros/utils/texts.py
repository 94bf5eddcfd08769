# SPDX-License-Identifier: Apache-2.0
"""Texts as people see them: what cannot be seen is dropped, and what looks the same is equal."""

from __future__ import annotations

import re
import unicodedata

# Unicode's Default_Ignorable_Code_Point: characters that are not shown.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def without_invisible(text: str) -> str:
    """A text without the characters that come along when texts are copied.

    Zero-width characters, byte-order marks, soft hyphens and the like.
    """
    return _INVISIBLE.sub("", text)


def cleaned(text: str) -> str:
    """A text as people mean it, in one form.

    UTF-8 that came escaped is read, what cannot be seen is left out, letters are composed (NFC),
    and white space is collapsed.
    """
    visible = without_invisible(_with_utf8_of_escapes(text))
    return " ".join(unicodedata.normalize("NFC", visible).split())


def is_plain(text: str) -> bool:
    """Whether a text has neither control characters nor broken Unicode."""
    return all(unicodedata.category(character) not in ("Cc", "Cs") for character in text)


def _with_utf8_of_escapes(text: str) -> str:
    """A text in which UTF-8 letters that Python could not read are read after all.

    In a locale that is not UTF-8 (LC_ALL=C), arguments come as escaped bytes (PEP 383); a text that
    was typed or written as UTF-8 is still that. Escapes that are no UTF-8 stay as they are.
    """
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        return text


def same_look(text: str) -> str:
    """A key that texts share if they look the same, whatever characters they are written with.

    Compatibility forms (the ligature of f and l, full-width letters) and upper case are folded, in
    Unicode's normal form NFKC.
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def shorten(text: str, length: int = 40) -> str:
    """At most `length` characters of a text, for messages."""
    return text if len(text) <= length else text[: length - 3] + "..."
