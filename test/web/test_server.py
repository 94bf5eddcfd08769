# SPDX-License-Identifier: Apache-2.0
"""The web server with a back end of the test's own: pictures, requests, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
import threading
import zipfile
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
import yaml
from aiohttp import ClientSession, WSMsgType, WSServerHandshakeError
from aiohttp.test_utils import TestClient, TestServer
from PIL import Image
from web_fakes import FakeBackend, Visitor, labels_of

from dinoiser_ros.errors import OptionError
from dinoiser_ros.web import server as server_module
from dinoiser_ros.web.access import Access, ServerOptions
from dinoiser_ros.web.frame import Frame
from dinoiser_ros.web.server import MOST_BYTES, Server, page_files

TOKEN = "a-token-of-the-test"


def served(
    use: Callable[[TestClient, FakeBackend], Awaitable[None]],
    backend: FakeBackend | None = None,
    **options: Any,
) -> FakeBackend:
    """Run a test's coroutine against a server of its own."""
    backend = backend or FakeBackend()

    async def run() -> None:
        server = Server(backend, ServerOptions(**options), report=lambda _: None)
        async with TestClient(TestServer(server.application())) as client:
            await asyncio.wait_for(use(client, backend), 60)

    asyncio.run(run())
    return backend


# -- pictures --------------------------------------------------------------------------------------


def test_a_viewer_gets_the_picture_its_classes_and_their_shares() -> None:
    async def use(client: TestClient, backend: FakeBackend) -> None:
        backend.show()
        async with Visitor(client) as visitor:
            state = await visitor.until(lambda found: found.get("kind") == "state")
            assert state["cameras"] == ["/front"] and state["control"]
            await visitor.tell("watch", cameras=["/front", "/not-there", 7])
            picture = await visitor.picture()
            assert (picture["width"], picture["height"], picture["stamp"]) == (64, 48, 12.5)
            jpeg = Image.open(io.BytesIO(picture["content"][: picture["jpeg"]]))
            assert jpeg.format == "JPEG" and jpeg.size == (64, 48)
            assert np.array_equal(labels_of(picture["raw"]), backend.frames["/front"].labels)
            share = 44 / 48 / 2
            assert picture["classes"] == [
                [0, "floor", pytest.approx(share, abs=1e-4), 0.8],
                [1, "wall", pytest.approx(share, abs=1e-4), 0.8],
            ]

        while len(backend.watched) < 2:  # nobody looks any more
            await asyncio.sleep(0.01)
        assert backend.watched == [frozenset({"/front"}), frozenset()]

    served(use)


def test_a_large_picture_is_reduced_and_its_classes_with_it() -> None:
    async def use(client: TestClient, backend: FakeBackend) -> None:
        frame = backend.show(size=(1501, 2999))
        async with Visitor(client) as visitor:
            await visitor.tell("watch", cameras=["/front"])
            picture = await visitor.picture()
            assert (picture["width"], picture["height"]) == (1000, 501)
            assert (picture["fullWidth"], picture["fullHeight"]) == (2999, 1501)
            labels = labels_of(picture["raw"])
            assert (labels[250, 499], labels[250, 501]) == (0, 1)
            assert frame.labels is not None and frame.labels.shape == (1501, 2999)

    served(use)


def test_a_viewer_that_draws_nothing_gets_two_pictures_and_holds_nobody_up() -> None:
    async def use(client: TestClient, backend: FakeBackend) -> None:
        async with Visitor(client) as slow, Visitor(client) as quick:
            for visitor in (slow, quick):
                await visitor.tell("watch", cameras=["/front"])
                await visitor.until(lambda found: found.get("kind") == "state")
            numbers = []
            for _ in range(8):
                backend.show()
                picture = await quick.picture()
                await quick.tell("ready", camera="/front")
                numbers.append(picture["number"])
            assert numbers == sorted(set(numbers))
            received = [(await slow.picture())["number"] for _ in range(2)]
            assert received[0] in numbers and received[1] in numbers
            await slow.tell("ready", camera="/front")
            newest = await slow.picture()  # not the third, but the newest
            assert newest["number"] == numbers[-1]

    served(use)


def test_a_viewer_that_reads_nothing_is_given_up_and_costs_the_others_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dinoiser_ros.web.viewer._SEND_TIMEOUT", 0.2)
    backend = FakeBackend()
    noise = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), dtype=np.uint8)

    async def use(client: TestClient, backend: FakeBackend) -> None:
        async with Visitor(client) as deaf, Visitor(client) as other:
            await deaf.tell("watch", cameras=["/front"])
            await other.tell("watch", cameras=["/front"])
            given_up = asyncio.create_task(
                other.until(lambda found: found.get("kind") == "state" and found["viewers"] == 1)
            )
            while not given_up.done():  # asks for pictures, and never reads one
                backend.frames["/front"] = Frame("/front", 0.0, lambda: noise)
                backend.changed()
                with contextlib.suppress(ConnectionError):
                    await deaf.tell("ready", camera="/front")
                await asyncio.sleep(0.02)
            backend.show()
            await other.tell("ready", camera="/front")
            await other.tell("ready", camera="/front")
            await other.until(lambda found: found.get("width") == 64)

    served(use, backend)


def test_nothing_is_computed_unless_somebody_asks_and_then_once_for_a_frame() -> None:
    async def use(client: TestClient, backend: FakeBackend) -> None:
        backend.show()
        async with Visitor(client) as visitor:
            await visitor.tell("watch", cameras=["/front"])
            number = (await visitor.picture())["number"]
            place = {"camera": "/front", "number": number, "x": 0.25, "y": 0.5}
            found = await visitor.ask("probe", **place)
            assert (found["class"], found["probability"], found["ranking"]) == ("floor", 0.8, None)
            assert backend.computed == 0
            found = await visitor.ask("probe", **place, deep=True)
            assert found["ranking"] == [["floor", pytest.approx(0.7)], ["wall", pytest.approx(0.3)]]
            why = await visitor.ask("why", camera="/front", number=number, **{"class": "wall"})
            assert why["heat"] == [[76, 76, 230, 230]] * 3
            assert [pair[:2] for pair in why["confused"]] == [["floor", "wall"], ["wall", "floor"]]
            assert backend.computed == 1
            unlabeled = await visitor.ask("probe", **{**place, "y": 0.0})
            assert unlabeled["class"] is None
            await visitor.ask("change", values={"gamma": 0.9})
            await visitor.ask("probe", **place, deep=True)
            assert backend.computed == 2  # with other settings it is another answer

    served(use)


@pytest.mark.parametrize("mask_size", [None, (30, 50), (96, 40), (1, 2)])
def test_names_follow_ids_that_are_not_positions(mask_size: tuple[int, int] | None) -> None:
    """Ids with gaps, in another order than the prompts, on masks of any size."""

    async def use(client: TestClient, backend: FakeBackend) -> None:
        backend.update(classes=((7, "wall"), (2, "floor")))
        backend.show(mask_size=mask_size)
        async with Visitor(client) as visitor:
            state = await visitor.until(lambda found: found.get("kind") == "state")
            assert state["classes"] == [[7, "wall"], [2, "floor"]]
            await visitor.tell("watch", cameras=["/front"])
            picture = await visitor.picture()
            assert [entry[:2] for entry in picture["classes"]] == [[2, "floor"], [7, "wall"]]
            labels = labels_of(picture["raw"])
            assert labels.shape == (48, 64)
            assert (labels[24:, :32] == 7).all() and (labels[24:, 32:] == 2).all()

            place = {"camera": "/front", "number": picture["number"]}
            for x, name in ((0.01, "wall"), (0.49, "wall"), (0.51, "floor"), (1, "floor")):
                found = await visitor.ask("probe", **place, x=x, y=1, deep=True)
                assert found["class"] == found["ranking"][0][0] == name
            why = await visitor.ask("why", **place, **{"class": "floor"})
            assert why["heat"] == [[76, 76, 230, 230]] * 3
            file = await visitor.ask("save", **place)
            archive = zipfile.ZipFile(io.BytesIO(file["content"]))
            saved = json.loads(archive.read("classes.json"))["classes"]
            assert [(entry["id"], entry["name"]) for entry in saved] == [(2, "floor"), (7, "wall")]
            mask = np.array(Image.open(io.BytesIO(archive.read("masks/7.png"))))
            assert (
                mask.shape == (48, 64) and (mask[24:, :32] == 255).all() and not mask[:, 32:].any()
            )

    served(use)


def test_the_zip_file_has_picture_masks_and_settings() -> None:
    async def use(client: TestClient, backend: FakeBackend) -> None:
        backend.update(classes=((0, "../../floor"), (1, "wall")))
        frame = backend.show()
        async with Visitor(client) as visitor:
            await visitor.tell("watch", cameras=["/front"])
            number = (await visitor.picture())["number"]
            file = await visitor.ask("save", camera="/front", number=number)
            archive = zipfile.ZipFile(io.BytesIO(file["content"]))
            names = set(archive.namelist())
            masks = {"masks/0.png", "masks/1.png"}
            pictures = {"picture.png", "labels.png", "confidence.png"}
            assert names == pictures | masks | {"classes.json", "settings.yaml"}
            labels = np.array(Image.open(io.BytesIO(archive.read("labels.png"))))
            assert np.array_equal(labels, frame.labels)
            entry = json.loads(archive.read("classes.json"))["classes"][0]
            assert (entry["name"], entry["mask"]) == ("../../floor", "masks/0.png")
            settings = yaml.safe_load(archive.read("settings.yaml"))
            assert settings["/**"]["ros__parameters"]["gamma"] == 0.2

    served(use)


# -- changes ---------------------------------------------------------------------------------------


def test_a_change_reaches_all_viewers_and_can_be_taken_back() -> None:
    async def use(client: TestClient, backend: FakeBackend) -> None:
        async with Visitor(client) as one, Visitor(client) as other:
            await one.ask("change", values={"prompts": ["sofa", "<b>lamp</b>"], "gamma": 1})
            state = await other.until(lambda found: found.get("undo") == 1)
            assert state["classes"] == [[0, "sofa"], [1, "<b>lamp</b>"]]
            assert (await other.ask("undo"))["names"] == ["gamma", "prompts"]
            assert backend.state().values()["prompts"] == ["floor", "wall"]
            assert "no change" in (await one.ask("undo"))["error"]

    served(use)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"prompts": ["floor", "bad"]}, "Prompt 2"),
        ({"prompts": "floor"}, "a list of texts"),
        ({"prompts": ["floor", 7]}, "a list of texts"),
        ({"prompts": ["\ud800"]}, "broken"),
        ({"prompts": ["a\0b"]}, "broken"),
        ({"gamma": "0.5"}, "0 to 1"),
        ({"inference_size": 10**400}, "16 to 4096"),
        ({"inference_size": True}, "16 to 4096"),
        ({"gama": 0.5}, "did you mean 'gamma'"),
        ({"offline": True}, "set before configure"),
        ({}, "needs values"),
        ([], "needs values"),
    ],
)
def test_a_change_that_cannot_be_is_refused_in_a_sentence(values: Any, said: str) -> None:
    async def use(client: TestClient, backend: FakeBackend) -> None:
        before = backend.state()
        async with Visitor(client) as visitor:
            assert said in (await visitor.ask("change", values=values))["error"]
            assert backend.state() == before
            assert "no change" in (await visitor.ask("undo"))["error"]

    served(use)


def test_pictures_go_on_while_prompts_are_being_embedded() -> None:
    async def use(client: TestClient, backend: FakeBackend) -> None:
        backend.slow.clear()
        async with Visitor(client) as visitor:
            await visitor.tell("watch", cameras=["/front"])
            await visitor.socket.send_json(
                {"id": 99, "do": "change", "values": {"prompts": ["sofa"]}}
            )
            backend.show()
            await visitor.picture()
            backend.slow.set()
            answer = await visitor.until(lambda found: found.get("answer") == 99)
            assert "error" not in answer

    served(use)


def test_settings_come_and_go_as_a_parameters_file() -> None:
    async def use(client: TestClient, backend: FakeBackend) -> None:
        async with Visitor(client) as visitor:
            text = (await visitor.ask("settings"))["text"]
            await visitor.ask("change", values={"prompts": ["sofa"], "gamma": 0.9})
            answer = await visitor.ask("load", text=text + "    offline: true\n    gama: 1\n")
            assert answer["names"] == ["gamma", "prompts"]
            assert "offline" in answer["notes"][0] and "did you mean" in answer["notes"][1]
            assert backend.state().values()["prompts"] == ["floor", "wall"]

    served(use)


def test_who_may_only_look_changes_nothing() -> None:
    async def use(client: TestClient, backend: FakeBackend) -> None:
        before = backend.state()
        async with Visitor(client) as visitor:
            state = await visitor.until(lambda found: found.get("kind") == "state")
            assert state["control"] is False
            backend.show()
            await visitor.tell("watch", cameras=["/front"])
            place = {"camera": "/front", "number": (await visitor.picture())["number"]}
            for do, fields in (
                ("change", {"values": {"gamma": 0.5}}),
                ("undo", {}),
                ("load", {"text": "/**: {ros__parameters: {gamma: 0.5}}"}),
                ("teach", {**place, "name": "tote", "points": [[0.5, 0.5]]}),
                ("forget", {"name": "tote"}),
            ):
                assert "only shows" in (await visitor.ask(do, **fields))["error"]
            assert "gamma" in (await visitor.ask("settings"))["text"]
        assert backend.state() == before and backend.taught == []

    served(use, control=False)


# -- teaching --------------------------------------------------------------------------------------


def test_a_class_is_taught_on_the_picture_that_was_shown_and_forgotten_again() -> None:
    async def use(client: TestClient, backend: FakeBackend) -> None:
        shown = backend.show(size=(1501, 2999))  # sent smaller: pixels are those of the camera
        async with Visitor(client) as one, Visitor(client) as other:
            await one.tell("watch", cameras=["/front"])
            place = {"camera": "/front", "number": (await one.picture())["number"]}
            backend.show()
            points = [[0.5, 0.25], [1, 1.0], [0, 0]]
            answer = await one.ask("teach", **place, name="blue tote", points=points)
            assert answer["examples"] == 3
            state = await other.until(lambda found: found.get("examples"))
            assert state["examples"] == [["blue tote", 3]] and state["undo"] == 0, "no parameter"
            box = [0.1, 0.2, 0.5, 1]
            assert (await one.ask("teach", **place, name="blue tote", box=box))["examples"] == 4
            (number, name, places), (_, _, boxed) = backend.taught
            assert (number, name) == (shown.number, "blue tote")
            assert places == [[1499.5, 375.25], pytest.approx([2999, 1501]), [0, 0]]
            assert places[1][0] < 2999 and places[1][1] < 1501, "inside the picture"
            assert boxed == pytest.approx([299.9, 300.2, 1499.5, 1501])

            assert (await other.ask("forget", name="blue tote", newest=1))["examples"] == 3
            assert (await one.ask("forget", name="blue tote"))["examples"] == 0
            await other.until(lambda found: found.get("examples") == [])
            assert "Nothing was taught" in (await one.ask("forget", name="blue tote"))["error"]

    served(use)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"points": [[0.5, 0.5]], "name": 7}, "needs a name"),
        ({"points": [[0.5, 0.5]], "name": "a\0b"}, "broken"),
        ({"points": [[0.5, 0.5]], "name": "\ud800"}, "broken"),
        ({}, "points or a box"),
        ({"points": [[0.5, 0.5]], "box": [0, 0, 1, 1]}, "one of them"),
        ({"points": []}, "0 to 1"),
        ({"points": [[0.5]]}, "0 to 1"),
        ({"points": [[0.5, 0.5], [0.5]]}, "0 to 1"),
        ({"points": [[0.5, float("nan")]]}, "0 to 1"),
        ({"points": [[0.5, 10**400]]}, "0 to 1"),
        ({"points": [["0", "0"]]}, "0 to 1"),
        ({"points": [[0.5, 1.5]]}, "0 to 1"),
        ({"points": {"x": 0}}, "0 to 1"),
        ({"points": [[0.5, 0.5]] * 65}, "at most 64"),
        ({"box": [0, 0, 1]}, "0 to 1"),
        ({"box": [True, False, True, True]}, "0 to 1"),
        ({"number": -1, "points": [[0.5, 0.5]]}, "gone"),
    ],
)
def test_what_is_no_example_is_refused_in_a_sentence(fields: dict, said: str) -> None:
    async def use(client: TestClient, backend: FakeBackend) -> None:
        backend.show()
        async with Visitor(client) as visitor:
            await visitor.tell("watch", cameras=["/front"])
            number = (await visitor.picture())["number"]
            asked = {"camera": "/front", "number": number, "name": "tote", **fields}
            assert said in (await visitor.ask("teach", **asked))["error"]
            for newest in (0, -1, 1.5, True, "1", 2**31):
                answer = await visitor.ask("forget", name="tote", newest=newest)
                assert "1 or more" in answer["error"]
        assert backend.taught == []

    served(use)


def test_after_teaching_the_same_picture_is_computed_anew() -> None:
    """One example for another: nothing else in the state tells them apart."""

    async def use(client: TestClient, backend: FakeBackend) -> None:
        backend.show()
        async with Visitor(client) as visitor:
            await visitor.tell("watch", cameras=["/front"])
            place = {"camera": "/front", "number": (await visitor.picture())["number"]}
            await visitor.ask("teach", **place, name="tote", points=[[0.5, 0.5]])
            await visitor.ask("why", **place, **{"class": "wall"})
            await visitor.ask("why", **place, **{"class": "floor"})
            assert backend.computed == 1
            await visitor.ask("forget", name="tote")
            await visitor.ask("teach", **place, name="tote", points=[[0.1, 0.1]])
            await visitor.ask("why", **place, **{"class": "wall"})
            assert backend.computed == 2

    served(use)


# -- who is let in ---------------------------------------------------------------------------------


async def status(client: TestClient, path: str, **headers: str) -> int:
    async with client.get(path, headers=headers) as response:
        return response.status


def test_on_localhost_other_sites_and_other_names_are_refused() -> None:
    async def use(client: TestClient, backend: FakeBackend) -> None:
        assert await status(client, "/") == 200
        here = f"{client.host}:{client.port}"
        # A name of another site that points here (DNS rebinding).
        for host in ("evil.example", f"evil.example:{client.port}", "127.0.0.1.evil.example", "[x"):
            assert await status(client, "/", Host=host) == 403
        for origin in ("http://evil.example", "null", "", "https://", f"ftp://{here}", f"{here}"):
            with pytest.raises(WSServerHandshakeError) as refused:
                async with Visitor(client, Origin=origin):
                    pass
            assert refused.value.status == 403
        with pytest.raises(WSServerHandshakeError):
            await client.ws_connect("/socket")  # no Origin at all

    served(use)


def test_elsewhere_the_token_is_needed_and_remembered_in_a_cookie() -> None:
    async def use(client: TestClient, backend: FakeBackend) -> None:
        for path in (
            "/",
            "/page/main.js",
            "/socket",
            f"/?token={TOKEN}x",
            "/?token=%00",
            "/?token=é",
        ):
            assert await status(client, path) == 403
        with pytest.raises(WSServerHandshakeError):
            async with Visitor(client):
                pass
        assert await status(client, f"/?token={TOKEN}", Origin="http://evil.example") == 403
        async with client.get(f"/?token={TOKEN}") as response:
            assert response.status == 200
            cookie = response.headers["Set-Cookie"]
            assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        assert await status(client, "/page/main.js") == 200  # by the cookie
        async with Visitor(client) as visitor:
            await visitor.until(lambda found: found.get("kind") == "state")

    served(use, address="0.0.0.0", token=TOKEN)


def test_a_cookie_that_is_no_text_is_a_wrong_token() -> None:
    async def use(client: TestClient, backend: FakeBackend) -> None:
        reader, writer = await asyncio.open_connection(client.host, client.port)
        address = f"{client.host}:{client.port}".encode()
        cookie = b"dinoiser_%d=\xff" % client.port
        writer.write(b"GET / HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\n\r\n" % (address, cookie))
        assert (await reader.readline()).split()[1] == b"403"
        writer.close()

    served(use, address="0.0.0.0", token=TOKEN)


def test_a_token_is_made_up_where_one_is_needed_and_has_to_be_long() -> None:
    assert Access.to("localhost").token == Access.to("::1").token == ""
    assert len(Access.to("0.0.0.0").token) >= 32
    assert Access.to("192.168.0.7").token != Access.to("192.168.0.7").token
    assert Access.to("::1", TOKEN).link(80) == f"http://[::1]:80/?token={TOKEN}"
    for token in ("short", "x" * 15, "é" * 20, "a\n" * 20):
        with pytest.raises(OptionError, match="token"):
            Access.to("localhost", token)


def test_no_path_reaches_the_disk() -> None:
    async def use(client: TestClient, backend: FakeBackend) -> None:
        for path in (
            "/page/../server.py",
            "/page/..%2fserver.py",
            "/page/%2e%2e/server.py",
            "/page/..%5cserver.py",
            "/page//etc/passwd",
            "/page/%2fetc%2fpasswd",
            "/page/main.js%00.css",
            "/page/__init__.py",
            "/page/",
            "/etc/passwd",
        ):
            assert await status(client, path) == 404
        async with client.post("/", data=b"x" * 10_000) as response:
            assert response.status == 405

    served(use)


def test_every_answer_tells_browsers_to_load_nothing_from_elsewhere() -> None:
    async def use(client: TestClient, backend: FakeBackend) -> None:
        for path in ["/", "/nothing", *(f"/page/{name}" for name in page_files())]:
            async with client.get(path) as response:
                policy = response.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy and "unsafe" not in policy
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                text = await response.text()
            # Only the name of SVG's namespace looks like an address.
            assert re.findall(r"(?:https?:)?//(?!www\.w3\.org/2000/svg)[a-z]", text) == []
            assert ".innerHTML" not in text and "insertAdjacentHTML" not in text

    served(use)


# -- limits ----------------------------------------------------------------------------------------


async def closed(visitor: Visitor) -> int | None:
    """The code that the server closes the socket with."""
    with pytest.raises(ConnectionError):
        await visitor.until(lambda _: False)
    return visitor.socket.close_code


def test_broken_messages_are_answered_and_the_next_ones_as_well() -> None:
    async def use(client: TestClient, backend: FakeBackend) -> None:
        async with Visitor(client) as visitor:
            for text in ("{", "[]", "7", '"x"', "[" * 50_000, '{"a": ' * 20_000, "\ufffd", "NaN"):
                await visitor.socket.send_str(text)
                answer = await visitor.until(lambda found: "answer" in found)
                assert "JSON object" in answer["error"]
            for fields in ({}, {"do": 7}, {"do": "__class__"}, {"do": "watch", "cameras": {}}):
                await visitor.socket.send_json({"id": [1], **fields})
            for place in (
                {"camera": "/front", "number": 1, "x": 0, "y": 0},
                {"camera": ["/front"], "number": 1, "x": 0, "y": 0},
                {"camera": "/front", "number": None, "x": "0", "y": float("nan")},
            ):
                for do in ("probe", "why", "save"):
                    assert "gone" in (await visitor.ask(do, **place))["error"]
            backend.show()
            await visitor.tell("watch", cameras=["/front"])
            number = (await visitor.picture())["number"]
            for x in (-0.1, 1.1, True, "0", None, float("inf"), float("nan")):
                answer = await visitor.ask("probe", camera="/front", number=number, x=x, y=0)
                assert "0 to 1" in answer["error"]
            await visitor.ask("probe", camera="/front", number=number, x=1, y=1)

    served(use)


def test_huge_binary_and_too_many_messages_end_a_connection() -> None:
    async def use(client: TestClient, backend: FakeBackend) -> None:
        async with Visitor(client) as visitor:
            await visitor.socket.send_str("x" * (MOST_BYTES + 1))
            assert await closed(visitor) == 1009
        async with Visitor(client) as visitor:
            await visitor.socket.send_bytes(b"x")
            assert await closed(visitor) == 1003
        async with Visitor(client) as visitor:
            for _ in range(400):
                await visitor.tell("ready", camera="/front")
            assert await closed(visitor) == 1008
        async with Visitor(client) as visitor:  # the server is as it was
            await visitor.until(lambda found: found.get("kind") == "state")

    served(use)


def test_a_hundred_viewers_are_too_many_and_the_first_ones_go_on() -> None:
    async def use(client: TestClient, backend: FakeBackend) -> None:
        first = [Visitor(client) for _ in range(3)]
        for visitor in first:
            await visitor.__aenter__()
        for _ in range(97):
            async with Visitor(client) as visitor:
                message = await visitor.socket.receive(timeout=20)
                assert message.type is WSMsgType.CLOSE and message.data == 1013
        backend.show()
        await first[0].tell("watch", cameras=["/front"])
        await first[0].picture()
        await first[1].__aexit__()
        async with Visitor(client) as visitor:  # there is room again
            await visitor.until(lambda found: found.get("kind") == "state")

    served(use, most_viewers=3)


def test_a_viewer_has_few_requests_at_once() -> None:
    async def use(client: TestClient, backend: FakeBackend) -> None:
        backend.slow.clear()
        async with Visitor(client) as visitor:
            for number in range(20):
                await visitor.socket.send_json(
                    {"id": number, "do": "change", "values": {"gamma": number / 100}}
                )
            answer = await visitor.until(lambda found: "error" in found)
            assert "Too many" in answer["error"]
            backend.slow.set()
            answer = await visitor.until(lambda found: found.get("answer") == 7)
            assert "error" not in answer

    served(use)


def test_the_server_in_its_thread_starts_tells_its_address_and_ends() -> None:
    backend = FakeBackend()
    server = Server(backend, ServerOptions(port=0))
    server.start()
    try:

        async def visit() -> int:
            async with ClientSession() as session, session.get(server.link) as response:
                return response.status

        assert server.link.startswith("http://localhost:") and not server.link.endswith(":0/")
        assert asyncio.run(visit()) == 200
        taken = int(server.link.rpartition(":")[2].strip("/"))
        with pytest.raises(OptionError, match=f"{taken}.*another"):
            Server(FakeBackend(), ServerOptions(port=taken)).start()
    finally:
        server.close()
    with pytest.raises(OptionError, match="cannot be served"):
        Server(FakeBackend(), ServerOptions(address="no.such.host.invalid", port=0)).start()


def test_a_server_that_does_not_begin_in_time_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_START_TIMEOUT", 0.05)
    server, end = Server(FakeBackend(), ServerOptions(port=0)), threading.Event()
    monkeypatch.setattr(server, "_serve", end.wait)
    with pytest.raises(OptionError, match="did not begin within 0.05 s"):
        server.start()
    end.set()
