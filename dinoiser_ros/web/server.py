# SPDX-License-Identifier: Apache-2.0
"""The web server: the page, a websocket for each viewer, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import WSCloseCode, web

from dinoiser_ros.errors import OptionError

from .access import HEADERS, Access, ServerOptions
from .backend import Backend
from .control import Control
from .room import Room
from .viewer import Viewer

MOST_BYTES = 256 * 1024  # of a message from a viewer; a settings file is the largest
_HEARTBEAT = 20.0  # seconds between pings; who does not answer is gone
_START_TIMEOUT = 20.0  # seconds
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Serves the page, in a thread of its own (`start`) or as an `application` of a test.

    Args:
        backend: what segments.
        options: how to serve.
        report: called with a sentence about what should not happen.

    Raises:
        OptionError: an option cannot be.
    """

    def __init__(
        self, backend: Backend, options: ServerOptions, report: Callable[[str], None] = print
    ) -> None:
        self._backend = backend
        self._options = options
        self._access = Access.to(options.address, options.token)
        self._report = report
        self._control = Control(backend, options.control)
        self._files = page_files()
        self._room: Room | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._started = threading.Event()
        self._failure: Exception | None = None
        self._port = options.port

    @property
    def link(self) -> str:
        """The address of the page, for people; once it was started."""
        return self._access.link(self._port)

    def start(self) -> None:
        """Listen, in a thread; returns when the page can be opened.

        Raises:
            OptionError: it cannot listen there.
        """
        self._thread = threading.Thread(target=self._serve, name="web server", daemon=True)
        self._thread.start()
        in_time = self._started.wait(_START_TIMEOUT)
        if not in_time or self._failure is not None:
            late = f"it did not begin within {_START_TIMEOUT:g} s"
            reason = getattr(self._failure, "strerror", None) or self._failure or late
            self.close()
            raise OptionError(
                f"The web page cannot be served at {self._options.address}, port "
                f"{self._options.port} ({reason}): choose another address or port."
            )

    def close(self) -> None:
        """End it; viewers are told."""
        loop, end = self._loop, self._end
        if loop is not None and end is not None and self._thread is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(end.set)
            self._thread.join(5.0)

    def _serve(self) -> None:
        try:
            asyncio.run(self._run())
        except Exception as error:  # told by `start`
            self._failure = error
        self._started.set()

    async def _run(self) -> None:
        self._end = asyncio.Event()
        runner = web.AppRunner(self.application(), access_log=None)
        await runner.setup()
        try:
            host = "127.0.0.1" if self._options.address == "localhost" else self._options.address
            site = web.TCPSite(runner, host, self._options.port)
            await site.start()
            self._port = runner.addresses[0][1]
            self._started.set()
            await self._end.wait()
        finally:
            await runner.cleanup()

    # -- the application -------------------------------------------------------------------------

    def application(self) -> web.Application:
        """What is served, for the event loop that runs it."""
        application = web.Application(middlewares=[self._guard], client_max_size=1024)
        application.router.add_get("/", self._index)
        application.router.add_get("/page/{name}", self._file)
        application.router.add_get("/socket", self._socket)
        application.on_startup.append(self._open)
        application.on_shutdown.append(self._close)
        return application

    async def _open(self, _: web.Application) -> None:
        loop = self._loop = asyncio.get_running_loop()
        room = self._room = Room(self._backend, self._control, self._report)
        waiting = threading.Event()  # of many changes in a row one wakes the viewers

        def woken() -> None:
            waiting.clear()
            room.wake()

        def changed() -> None:
            if not waiting.is_set():
                waiting.set()
                with contextlib.suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(woken)

        self._backend.start(changed)

    async def _close(self, _: web.Application) -> None:
        assert self._room is not None, "it was opened"
        for viewer in list(self._room.viewers):
            await viewer.close(WSCloseCode.GOING_AWAY, "the server ends")
        self._room.close()
        await asyncio.get_running_loop().run_in_executor(None, self._backend.close)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request pass, or refuse it; every answer has the safe headers."""
        refusal = self._access.refusal(request)
        if refusal is not None:
            return _text(403, refusal)
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _text(error.status, error.reason)

    async def _index(self, request: web.Request) -> web.StreamResponse:
        response = self._answer("index.html")
        self._access.remember(request, response)
        return response

    async def _file(self, request: web.Request) -> web.StreamResponse:
        return self._answer(request.match_info["name"])

    def _answer(self, name: str) -> web.Response:
        """A file of the page. Names are looked up among those read at the start."""
        if name not in self._files:
            return _text(404, "there is nothing here")
        content = self._files[name]
        kind = _TYPES[name[name.rindex(".") :]]
        return web.Response(body=content, content_type=kind, charset="utf-8", headers=HEADERS)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        room = self._room
        assert room is not None, "requests come after the start"
        # JPEG and deflated masks get no smaller by compressing them again.
        socket = web.WebSocketResponse(
            heartbeat=_HEARTBEAT, max_msg_size=MOST_BYTES, compress=False, timeout=2.0
        )
        if not socket.can_prepare(request):
            return _text(400, "this address is for websockets")
        if len(room.viewers) >= self._options.most_viewers:
            await socket.prepare(request)  # a browser tells its page of a closed socket only why
            await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too many viewers")
            return socket
        viewer = Viewer(room, socket, request.transport)
        room.viewers.add(viewer)  # before anything is waited for: the limit holds
        try:
            await socket.prepare(request)
            room.wake()  # how many viewers there are
            await viewer.run()
        finally:
            room.viewers.discard(viewer)
            room.wake()
            room.watch()
        return socket


def page_files() -> dict[str, bytes]:
    """The files of the page by name."""
    folder = Path(__file__).parent / "page"
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in _TYPES}


def _text(status: int, sentence: str) -> web.Response:
    return web.Response(status=status, text=f"{sentence}\n", headers=HEADERS)
