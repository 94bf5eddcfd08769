# SPDX-License-Identifier: Apache-2.0
"""What a viewer may ask for by a message {"id": 1, "do": "change", ...}, and how it is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import numpy as np

from dinoiser_ros.errors import RequestError

from .explanation import confused, heat_map, ranking
from .frame import Frame, packed
from .room import Room
from .settings_file import settings_text
from .snapshot import snapshot

Answer = dict[str, Any] | bytes
MOST_POINTS = 64  # of one request; more are refused everywhere
_BOX_NUMBERS = 4


class Asker(Protocol):
    """Who asks: a viewer.

    Attributes:
        room: where it is.
    """

    room: Room

    def frame(self, asked: Mapping[str, Any]) -> Frame:
        """The frame that a request is about; raises RequestError if the viewer has it no more."""


async def answer(viewer: Asker, asked: Mapping[str, Any]) -> Answer:
    """Do what is asked for.

    Args:
        viewer: who asks.
        asked: the message.

    Returns:
        The result, for the viewer; bytes are sent as they are.

    Raises:
        DinoiserError: it is refused.
    """
    do = asked.get("do")
    if not isinstance(do, str) or do not in _REQUESTS:
        raise RequestError(f"There is no request {str(do)[:40]!r}.")
    return await _REQUESTS[do](viewer, asked)


async def _change(viewer: Asker, asked: Mapping[str, Any]) -> Answer:
    """Change parameters: {"values": {name: value}}."""
    values = asked.get("values")
    if not isinstance(values, dict) or not values:
        raise RequestError("A change needs values by the names of parameters.")
    await viewer.room.change(lambda control: control.change(values))
    return {}


async def _undo(viewer: Asker, asked: Mapping[str, Any]) -> Answer:
    """Take back the last change, whoever made it."""
    return {"names": await viewer.room.change(lambda control: control.undo())}


async def _load(viewer: Asker, asked: Mapping[str, Any]) -> Answer:
    """Take the settings of a parameters file: {"text": content}."""
    text = asked.get("text")
    if not isinstance(text, str):
        raise RequestError("The file has to be a text.")
    names, notes = await viewer.room.change(lambda control: control.load(text))
    return {"names": names, "notes": notes}


async def _settings(viewer: Asker, asked: Mapping[str, Any]) -> Answer:
    """The settings as a parameters file."""
    return {"text": settings_text(viewer.room.backend.state().parameters)}


async def _probe(viewer: Asker, asked: Mapping[str, Any]) -> Answer:
    """What is at a point: {"camera", "number", "x", "y", "deep"}.

    The class, its probability and the distance in metres come from the frame; with "deep" also the
    runners-up, for which probabilities are computed.
    """
    frame = viewer.frame(asked)
    x, y = _place(asked, "x"), _place(asked, "y")
    found: dict[str, Any] = {"class": None, "probability": None, "ranking": None}
    found["distance"] = frame.distance(x, y)
    if frame.labels is not None:
        height, width = frame.labels.shape
        row, column = min(int(y * height), height - 1), min(int(x * width), width - 1)
        class_id = int(frame.labels[row, column])
        if class_id != frame.unlabeled:
            found["class"] = frame.name_of(class_id)
        if frame.confidence is not None:
            rows, columns = frame.confidence.shape
            row, column = min(int(y * rows), rows - 1), min(int(x * columns), columns - 1)
            found["probability"] = round(int(frame.confidence[row, column]) / 255, 4)
    if asked.get("deep") is True:
        found["ranking"] = ranking(await viewer.room.probabilities(frame), x, y)
    return found


async def _why(viewer: Asker, asked: Mapping[str, Any]) -> Answer:
    """Where one class is probable, and which prompts are confused: {"camera", "number", "class"}.

    "class" is the name of a class.
    """
    frame = viewer.frame(asked)
    grid = await viewer.room.probabilities(frame)
    name = asked.get("class")
    if name not in grid.class_names:
        raise RequestError(f"There is no class {str(name)[:60]!r} any more.")
    return {
        "number": frame.number,
        "class": name,
        "heat": heat_map(grid, grid.class_names.index(name)),
        "confused": confused(grid),
    }


async def _save(viewer: Asker, asked: Mapping[str, Any]) -> Answer:
    """The picture, its masks and the settings as a zip file: {"id", "camera", "number"}."""
    frame = viewer.frame(asked)
    state = viewer.room.backend.state()
    content = await viewer.room.run(snapshot, frame, state)
    header = {"kind": "file", "answer": asked.get("id"), "name": f"dinoiser_{frame.number}.zip"}
    return packed(header, content)


async def _teach(viewer: Asker, asked: Mapping[str, Any]) -> Answer:
    """Give a class examples: {"camera", "number", "name", "points" or "box"}.

    Places are from 0 to 1, as in `_region`.
    """
    frame, name = viewer.frame(asked), _name(asked)
    size = (await viewer.room.run(lambda: frame.image)).shape[:2]
    region = _region(asked, size)
    count = await viewer.room.change(lambda control: control.teach(frame, name, region))
    return {"examples": count}


async def _forget(viewer: Asker, asked: Mapping[str, Any]) -> Answer:
    """Remove examples of a class: {"name"}, with {"newest": n} only those taught last."""
    name, newest = _name(asked), asked.get("newest")
    if newest is not None and (type(newest) is not int or not 1 <= newest < 2**31):
        raise RequestError("newest has to be a number of examples, 1 or more.")
    count = await viewer.room.change(lambda control: control.forget(name, newest))
    return {"examples": count}


def _name(asked: Mapping[str, Any]) -> str:
    name = asked.get("name")
    if not isinstance(name, str):
        raise RequestError("A class needs a name: give a text.")
    return name


def _place(asked: Mapping[str, Any], name: str) -> float:
    value = asked.get(name)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise RequestError(f"{name} has to be a number from 0 to 1.")


def _region(asked: Mapping[str, Any], size: tuple[int, int]) -> np.ndarray:
    """The region of a request, in pixels of a picture.

    Args:
        asked: has "points", [[x, y], ...], or "box", [left, top, right, bottom], not both; 0 to 1
            from the left and the upper edge.
        size: height and width of the picture.

    Returns:
        (N, 2) points as x and y, or a (4,) box, float64.

    Raises:
        RequestError: it is something else.
    """
    points, box = asked.get("points"), asked.get("box")
    if (points is None) == (box is None):
        raise RequestError("Point at the class: give points or a box, one of them.")
    height, width = size
    if box is not None:
        return _numbers(box, (_BOX_NUMBERS,)) * [width, height, width, height]
    count = len(points) if isinstance(points, list) else 0
    if count > MOST_POINTS:
        raise RequestError(f"{count} points are too many: give at most {MOST_POINTS}.")
    places = _numbers(points, (count, 2)) * [width, height]
    # The right and the lower edge are the last pixel's.
    inside: np.ndarray = np.minimum(places, np.nextafter([width, height], 0.0))
    return inside


def _numbers(given: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers from 0 to 1 in nested lists."""
    try:
        found = np.array(given)
    except ValueError:  # lists of different lengths
        found = np.empty(0, object)
    fits = found.shape == shape and found.size > 0 and found.dtype.kind in "if"
    if not fits or not ((found >= 0) & (found <= 1)).all():
        raise RequestError(
            "A region has numbers from 0 to 1: points [[x, y], ...] or a box "
            "[left, top, right, bottom]."
        )
    return found.astype(np.float64)


_REQUESTS: dict[str, Callable[[Asker, Mapping[str, Any]], Awaitable[Answer]]] = {
    "change": _change,
    "undo": _undo,
    "load": _load,
    "settings": _settings,
    "probe": _probe,
    "why": _why,
    "save": _save,
    "teach": _teach,
    "forget": _forget,
}
