# SPDX-License-Identifier: Apache-2.0
"""A result of `make bench` beside a former one, both as `report.write_json` writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .authors import BLOCKS

_SAME = ("processor", "device", "threads", "torch", "best precision", "model")
_WHOLE = "whole frame"
_NOTABLE = 0.10  # change of a median that is worth a line
_LATE = "p95_ms"


class UnreadableResultError(Exception):
    """A file is no result of `make bench`; the message says which."""


def read_result(path: Path) -> dict[str, Any]:
    """A former result.

    Raises:
        UnreadableResultError: there is none in this file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableResultError(f"{path} cannot be read ({error}): give a result.") from error
    if not isinstance(content, dict) or not isinstance(content.get("machine"), dict):
        raise UnreadableResultError(f"{path} is no result of `make bench`: give one.")
    return content


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """A report: another machine, whole frames, and whatever else became faster or slower.

    Whole frames are also compared as multiples of the bare float32 blocks of their own run, which
    tells a slower machine from slower code.
    """
    lines = [
        f"another {key}: {old['machine'].get(key)} before, {new['machine'].get(key)} now"
        for key in _SAME
        if old["machine"].get(key) != new["machine"].get(key)
    ]
    lines.append(f"{'':40}{'before':>10}{'now':>10}{'ratio':>8}{'by blocks':>11}")
    for title, variant, name, before, now in _pairs(old, new):
        ratio = now["median_ms"] / before["median_ms"]
        apart = now["median_ms"] > before[_LATE] or before["median_ms"] > now[_LATE]
        if title != _WHOLE and (abs(ratio - 1) < _NOTABLE or not apart):
            continue
        relative = ""
        if title == _WHOLE:
            scale = _blocks(old, variant), _blocks(new, variant)
            relative = f"{ratio * scale[0] / scale[1]:11.2f}" if all(scale) else ""
        label = f"{title}: {variant}, {name}"
        lines.append(
            f"{label:40}{before['median_ms']:10.1f}{now['median_ms']:10.1f}{ratio:8.2f}{relative}"
        )
    return "\n".join(lines)


def _pairs(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Title, variant, name and both entries of all that was timed in both."""
    for title, section in new.items():
        for variant, times in _inner(section):
            for name, now in _inner(times):
                before = _entry(_entry(_entry(old, title), variant), name)
                if _is_time(now) and _is_time(before):
                    yield title, variant, name, before, now


def _is_time(entry: object) -> bool:
    return isinstance(entry, Mapping) and all(
        isinstance(entry.get(key), int | float) and entry[key] > 0 for key in ("median_ms", _LATE)
    )


def _inner(value: object) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, Mapping) else []


def _entry(value: object, key: str) -> Any:
    return value.get(key) if isinstance(value, Mapping) else None


def _blocks(result: Mapping[str, Any], size: str) -> float:
    entry = _entry(_entry(_entry(result, _WHOLE), size), BLOCKS)
    return float(entry["median_ms"]) if _is_time(entry) else 0.0
