# SPDX-License-Identifier: Apache-2.0
"""One viewer: a websocket on which pictures and states go out, and requests come in.

A viewer gets the newest picture of a camera when it has drawn the one before the last, which it
says by the message {"do": "ready"}. So a slow one gets fewer, and holds nobody up.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from dinoiser_ros.errors import DinoiserError, RequestError
from dinoiser_ros.utils.sentences import sentence_of

from .frame import Frame
from .requests import answer
from .room import Room

MOST_CAMERAS = 16  # that one viewer looks at
MOST_WAITING = 8  # requests of one viewer that are not answered yet
MESSAGES_PER_SECOND, MESSAGES_AT_ONCE = 150.0, 300.0
PICTURES_PER_SECOND = 30.0
_IN_FLIGHT = 2  # pictures of a camera that were sent and not drawn yet
_KEPT = 4  # frames of a camera that requests may be about
_SEND_TIMEOUT = 30.0  # seconds; who takes longer for one message is gone


class Viewer:
    """One websocket, until it is closed.

    Args:
        room: where everything is that viewers share.
        socket: prepared.
        transport: of its connection, to end that if nothing is read from it.

    Attributes:
        room: as given.
        watched: the cameras that it looks at.
    """

    def __init__(
        self,
        room: Room,
        socket: web.WebSocketResponse,
        transport: asyncio.BaseTransport | None,
    ) -> None:
        self.room = room
        self.watched: tuple[str, ...] = ()
        self._socket = socket
        self._transport = transport
        self._wake = asyncio.Event()
        self._wake.set()
        self._sending = asyncio.Lock()
        self._told: list[str] = []  # the texts that it was sent last, see `Room.news`
        self._credits: dict[str, int] = {}
        self._frames: dict[str, deque[Frame]] = {}
        self._waiting: set[asyncio.Task[None]] = set()
        self._allowance, self._counted = MESSAGES_AT_ONCE, time.monotonic()

    def wake(self) -> None:
        """There is something new."""
        self._wake.set()

    async def run(self) -> None:
        """Serve it to its end."""
        news = asyncio.create_task(self._send_news())
        try:
            async for message in self._socket:
                if message.type is not WSMsgType.TEXT:
                    await self.close(WSCloseCode.UNSUPPORTED_DATA, "only texts are read here")
                elif not self._may_send():
                    await self.close(WSCloseCode.POLICY_VIOLATION, "too many messages")
                else:
                    await self._receive(message.data)
        finally:
            for task in (news, *self._waiting):
                task.cancel()

    async def close(self, code: int, sentence: str) -> None:
        """End it."""
        await self._socket.close(code=code, message=sentence.encode())

    def frame(self, asked: Mapping[str, Any]) -> Frame:
        """The frame that a request is about, by its "camera" and "number".

        Raises:
            RequestError: this viewer has not got it, or that was too long ago.
        """
        camera, number = asked.get("camera"), asked.get("number")
        for frame in self._frames.get(camera, ()) if isinstance(camera, str) else ():
            if frame.number == number:
                return frame
        raise RequestError("This picture is gone: ask about a newer one.")

    def _may_send(self) -> bool:
        now = time.monotonic()
        earned = (now - self._counted) * MESSAGES_PER_SECOND
        self._allowance = min(MESSAGES_AT_ONCE, self._allowance + earned) - 1.0
        self._counted = now
        return self._allowance >= 0.0

    # -- what comes in ---------------------------------------------------------------------------

    async def _receive(self, text: str) -> None:
        try:
            asked = json.loads(text)
        except (ValueError, RecursionError):
            asked = None
        if not isinstance(asked, dict):
            await self._send({"answer": None, "error": "A message has to be a JSON object."})
        elif asked.get("do") == "ready":
            self._ready(asked.get("camera"))
        elif asked.get("do") == "watch":
            self._watch(asked.get("cameras"))
        elif len(self._waiting) >= MOST_WAITING:
            error = "Too many requests are waiting: try again."
            await self._send({"answer": _number(asked), "error": error})
        else:
            task = asyncio.create_task(self._answer(asked))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    def _ready(self, camera: object) -> None:
        if isinstance(camera, str) and camera in self._credits:
            self._credits[camera] = min(_IN_FLIGHT, self._credits[camera] + 1)
            self._wake.set()

    def _watch(self, cameras: object) -> None:
        known = self.room.backend.state().cameras
        names = cameras if isinstance(cameras, list) else []
        chosen = [name for name in names if isinstance(name, str) and name in known]
        self.watched = tuple(dict.fromkeys(chosen))[:MOST_CAMERAS]
        self._credits = {name: self._credits.get(name, _IN_FLIGHT) for name in self.watched}
        self._frames = {name: self._frames.get(name, deque(maxlen=_KEPT)) for name in self.watched}
        self.room.watch()
        self._wake.set()

    async def _answer(self, asked: dict[str, Any]) -> None:
        try:
            found = await answer(self, asked)
        except DinoiserError as error:
            found = {"error": str(error)}
        except Exception as error:  # whatever one request does, the others are answered
            self.room.report(f"a request failed: {error!r}")
            found = {"error": sentence_of(error)}
        if isinstance(found, dict):
            found = {"answer": _number(asked), **found}
        await self._send(found)

    # -- what goes out ---------------------------------------------------------------------------

    async def _send_news(self) -> None:
        """Send states and pictures as there are new ones, each viewer at its own rate."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            news = self.room.news()
            for text in news:
                if text not in self._told:
                    await self._send(text)
            self._told = news
            start = time.monotonic()
            if await self._send_pictures():
                pause = start + 1.0 / PICTURES_PER_SECOND - time.monotonic()
                await asyncio.sleep(max(0.0, pause))

    async def _send_pictures(self) -> bool:
        """Send the newest picture of each camera that it waits for; whether there was any."""
        sent = False
        for camera in self.watched:
            frame = self.room.backend.newest(camera)
            before = self._frames.get(camera)
            if frame is None or before is None or self._credits.get(camera, 0) < 1:
                continue
            if before and frame.number <= before[-1].number:
                continue
            before.append(frame)
            try:
                message = await self.room.encode(frame)
            except DinoiserError as error:
                await self._send({"kind": "problem", "camera": camera, "error": str(error)})
                continue
            if camera in self._credits:
                self._credits[camera] -= 1
            await self._send(message)
            sent = True
        return sent

    async def _send(self, content: dict[str, Any] | str | bytes) -> None:
        try:
            async with self._sending:
                if isinstance(content, bytes):
                    sending = self._socket.send_bytes(content)
                elif isinstance(content, str):
                    sending = self._socket.send_str(content)
                else:
                    sending = self._socket.send_str(json.dumps(content))
                await asyncio.wait_for(sending, _SEND_TIMEOUT)
        except (asyncio.TimeoutError, ConnectionError, RuntimeError):
            # It is gone, or reads nothing. The loop in `run` ends with the connection.
            if isinstance(self._transport, asyncio.WriteTransport):
                self._transport.abort()


def _number(asked: Mapping[str, Any]) -> int | None:
    number = asked.get("id")
    return number if isinstance(number, int) else None
