# SPDX-License-Identifier: Apache-2.0
"""A back end for the web server that needs neither a model nor ROS, and a client."""

from __future__ import annotations

import dataclasses
import json
import threading
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dinoiser_ros.errors import ExampleError, PromptError
from dinoiser_ros.web.backend import OK, Diagnostic, Parameter, ProbabilityGrid, State
from dinoiser_ros.web.frame import Frame

PARAMETERS = (
    Parameter("prompts", "list", ["floor", "wall"], "What to look for.", "a list of texts"),
    Parameter("gamma", "float", 0.2, "Similarity.", "0 to 1; set any time", 0.0, 1.0),
    Parameter("inference_size", "int", 0, "Size.", "16 to 4096", 0, 4096),
    Parameter("offline", "bool", False, "No network.", "set before configure", changeable=False),
)


class FakeBackend:
    """Shows pictures whose left half is of the first class and whose right half is of the second.

    Ids are positions until a test says otherwise with `update(classes=...)`.
    """

    def __init__(self, cameras: tuple[str, ...] = ("/front",)) -> None:
        self.changed: Callable[[], None] = lambda: None
        self.watched: list[frozenset[str]] = []
        self.frames: dict[str, Frame] = {}
        self.computed = 0
        self.taught: list[tuple[int, str, list]] = []  # number of the frame, name and region
        self.slow = threading.Event()  # set: changes go through
        self.slow.set()
        names = tuple(enumerate(PARAMETERS[0].value))
        status = (Diagnostic("node", OK, "active", {"device": "cpu", "last_error": ""}),)
        self._state = State("/fake", True, "", cameras, names, PARAMETERS, status)

    def start(self, changed: Callable[[], None]) -> None:
        self.changed = changed

    def close(self) -> None:
        self.changed = lambda: None

    def state(self) -> State:
        return self._state

    def update(self, **changes: Any) -> None:
        self._state = dataclasses.replace(self._state, **changes)
        self.changed()

    def watch(self, cameras: frozenset[str]) -> None:
        self.watched.append(cameras)

    def newest(self, camera: str) -> Frame | None:
        return self.frames.get(camera)

    def show(
        self,
        camera: str = "/front",
        size: tuple[int, int] = (48, 64),
        mask_size: tuple[int, int] | None = None,
    ) -> Frame:
        (left, _), (right, _) = self._state.classes[:2]
        rows, columns = mask_size or size
        labels = np.full((rows, columns), left, np.uint8)
        labels[:, columns // 2 :] = right
        labels[: rows // 12] = 255
        confidence = np.full(labels.shape, 204, np.uint8)
        image = np.full((*size, 3), 90, np.uint8)
        names = dict(self._state.classes)
        frame = Frame(camera, 12.5, lambda: image, labels, confidence, names, 255)
        self.frames[camera] = frame
        self.changed()
        return frame

    def change(self, values: Mapping[str, Any]) -> None:
        self.slow.wait(20)
        prompts = values.get("prompts", [])
        if "bad" in prompts:
            raise PromptError(f"Prompt {prompts.index('bad') + 1} ('bad') cannot be.")
        changed = tuple(
            dataclasses.replace(entry, value=values.get(entry.name, entry.value))
            for entry in self._state.parameters
        )
        classes = tuple(enumerate(prompts)) or self._state.classes
        self.update(parameters=changed, classes=classes)

    def probabilities(self, frame: Frame) -> ProbabilityGrid:
        self.computed += 1
        values = np.zeros((2, 3, 4), np.float32)
        values[0, :, :2], values[1, :, :2] = 0.7, 0.3
        values[0, :, 2:], values[1, :, 2:] = 0.1, 0.9
        names = tuple(name for _, name in self._state.classes[:2])
        return ProbabilityGrid(names, values)

    def teach(self, frame: Frame, name: str, region: np.ndarray) -> int:
        self.taught.append((frame.number, name, region.tolist()))
        return self._recount(name, len(region) if region.ndim > 1 else 1)

    def forget(self, name: str, newest: int | None) -> int:
        if name not in dict(self._state.examples):
            raise ExampleError(f"Nothing was taught under the name {name!r}.")
        return self._recount(name, -(newest or 10**6))

    def _recount(self, name: str, more: int) -> int:
        counts = dict(self._state.examples)
        count = max(0, counts.get(name, 0) + more)
        counts[name] = count
        self.update(examples=tuple((entry, number) for entry, number in counts.items() if number))
        return count


def unpacked(message: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and content of a binary message."""
    length = int.from_bytes(message[:4], "little")
    return json.loads(message[4 : 4 + length]), message[4 + length :]


def labels_of(message: bytes) -> np.ndarray:
    """The class ids of a picture message."""
    header, content = unpacked(message)
    kind = "<u2" if header["wide"] else "u1"
    pixels = np.frombuffer(zlib.decompress(content[header["jpeg"] :]), kind)
    return pixels.reshape(header["height"], header["width"])


class Visitor:
    """A viewer of the page, by aiohttp's own client; a context manager.

    Args:
        client: aiohttp.test_utils.TestClient.
        headers: of the request; Origin is the server's own unless given.
    """

    def __init__(self, client: Any, path: str = "/socket", **headers: str) -> None:
        origin = f"http://{client.host}:{client.port}"
        self._opening = client.ws_connect(path, headers={"Origin": origin, **headers})
        self._number = 0
        self._state: dict[str, Any] = {}  # the last one

    async def __aenter__(self) -> Visitor:
        self.socket = await self._opening
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()

    async def tell(self, do: str, **fields: Any) -> None:
        await self.socket.send_json({"do": do, **fields})

    async def until(self, wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """The next message that is wanted; of a binary one the header, with "content"."""
        while True:
            message = await self.socket.receive(timeout=20)
            if isinstance(message.data, bytes):
                header, content = unpacked(message.data)
                found = {**header, "content": content, "raw": message.data}
            elif isinstance(message.data, str):
                found = json.loads(message.data)
            else:
                raise ConnectionError(f"{message.type} {message.data} {message.extra}")
            if found.get("kind") == "state":
                self._state = found
            if wanted(found):
                return found

    async def knows(self, wanted: Callable[[dict[str, Any]], Any]) -> None:
        """Wait for a state that is wanted; it may have come already."""
        if not wanted(self._state):
            await self.until(lambda found: found.get("kind") == "state" and wanted(found))

    async def picture(self) -> dict[str, Any]:
        return await self.until(lambda found: found.get("kind") == "picture")

    async def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        self._number += 1
        await self.socket.send_json({"id": self._number, "do": do, **fields})
        return await self.until(lambda found: found.get("answer") == self._number)
