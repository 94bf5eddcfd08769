# SPDX-License-Identifier: Apache-2.0
"""The console beside a running node: over its websocket, and in a browser as people use it."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from aiohttp import ClientSession
from browser import open_browser
from paths import ROOT
from PIL import Image
from ros_helpers import Client, FakeCamera, NodeProcess, wait_until
from sensor_msgs.msg import Image as ImageMessage
from web_fakes import Visitor, labels_of

from dinoiser_ros.messages.encode import image_message
from dinoiser_ros.srv import GetProbabilities
from dinoiser_ros.visualization.overlay import palette

MEADOW = ROOT / "data" / "heldout" / "0032.jpg"
NODE = {
    "model": "demo",
    "weights": "",
    "heads": "",
    "inference_size": 160,
    "prompts": ["sky", "chair"],
}
WEB = {"port": 0, "depth_topics": ["/depth"]}
CONSOLE = "import sys; from dinoiser_ros.ros.web_console.main import main; sys.exit(main())"
GRASS = tuple(int(part) for part in palette(3)[2])


@dataclass
class Scene:
    """A camera in a meadow, the segmentation node and the console."""

    node: NodeProcess
    client: Client
    link: str

    @property
    def port(self) -> int:
        return int(self.link.rpartition(":")[2].strip("/"))

    def prompts(self) -> list[str]:
        return list(self.client.get_parameter("prompts"))

    def reset(self) -> None:
        """The prompts and parameters that each test begins with."""
        assert self.client.set_parameters(prompts=NODE["prompts"], confidence_threshold=0.0)[0]


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    ended = threading.Event()
    with NodeProcess(NODE) as node, NodeProcess(WEB, CONSOLE) as console:
        client = Client()
        camera = FakeCamera(client)
        camera.pixels = np.array(Image.open(MEADOW).convert("RGB"))

        depth = FakeCamera(client, "/depth")
        metres = np.full((48, 64), 1.25, np.float32)
        metres[:, 32:] = np.nan

        def film() -> None:
            while not ended.wait(0.4):
                message = ImageMessage(encoding="32FC1", height=48, width=64, step=256)
                message.data = metres.tobytes()
                message.header = depth.header()
                depth.publish(message)
                camera.publish()

        filming = threading.Thread(target=film, daemon=True)
        filming.start()
        try:
            wait_until(lambda: client.reaches("active"), "the state active")
            link = wait_until(lambda: re.search(r"open (http\S+) in", console.log), "a link")
            yield Scene(node, client, link.group(1))
        finally:
            ended.set()
            filming.join()
            client.close()


class Here:
    """What `Visitor` needs of a client, for a server in another process."""

    def __init__(self, session: ClientSession, port: int) -> None:
        self.host, self.port, self._session = "localhost", port, session

    def ws_connect(self, path: str, **more: Any) -> Any:
        return self._session.ws_connect(f"http://localhost:{self.port}{path}", **more)


def test_over_the_websocket(scene: Scene) -> None:
    """Nothing is segmented before somebody looks; then pictures, requests and refusals."""
    scene.reset()
    subscribers = lambda: scene.client.node.count_subscribers("/dinoiser/mask")  # noqa: E731
    assert subscribers() == 0

    async def use() -> None:
        async with ClientSession() as session, Visitor(Here(session, scene.port)) as visitor:
            known = ["/image"], ["sky", "chair"]  # by diagnostics, and by a service
            state = await visitor.until(
                lambda found: (found.get("cameras"), found.get("classes")) == known
            )
            assert state["name"] == "/dinoiser" and state["connected"]
            described = {entry["name"]: entry for entry in state["parameters"]}
            assert "use_sim_time" not in described
            gamma, method = described["gamma"], described["method"]
            assert (gamma["kind"], gamma["minimum"], gamma["maximum"]) == ("float", -1.0, 1.0)
            assert "maskclip" in method["choices"] and "pooled" in gamma["description"]
            assert not described["model"]["changeable"] and described["gamma"]["changeable"]

            await visitor.tell("watch", cameras=["/image"])
            await visitor.picture()
            await visitor.tell("ready", camera="/image")
            picture = await visitor.until(lambda found: found.get("classes") and "jpeg" in found)
            assert {name for _, name, _, _ in picture["classes"]} <= {"sky", "chair"}
            labels = labels_of(picture["raw"])
            assert labels.shape == (picture["height"], picture["width"])
            assert all(0.0 < entry[3] <= 1.0 for entry in picture["classes"])

            place = {"camera": "/image", "number": picture["number"]}
            point = await visitor.ask("probe", **place, x=0.5, y=0.05, deep=True)
            assert [name for name, _ in point["ranking"]][0] == point["class"]
            assert sum(value for _, value in point["ranking"]) == pytest.approx(1.0, abs=0.02)
            assert point["distance"] is None  # nothing was measured there
            assert (await visitor.ask("probe", **place, x=0.49, y=0.9))["distance"] == 1.25
            why = await visitor.ask("why", **place, **{"class": "sky"})
            heat = np.array(why["heat"])
            assert heat.shape[1] == 64 and heat.min() >= 0 and heat.max() <= 255
            # As the mask has it, cell by cell.
            rows = (np.arange(heat.shape[0]) + 0.5) * labels.shape[0] / heat.shape[0]
            columns = (np.arange(heat.shape[1]) + 0.5) * labels.shape[1] / heat.shape[1]
            sampled = labels[rows.astype(int)[:, None], columns.astype(int)]
            assert ((heat > 127.5) == (sampled == 0)).mean() > 0.97

            bad = await visitor.ask("change", values={"prompts": ["sky", "SKY"]})
            assert "given twice" in bad["error"] and scene.prompts() == ["sky", "chair"]
            bad = await visitor.ask("change", values={"confidence_threshold": 2.0})
            assert "0 to 1" in bad["error"]
            await visitor.ask("change", values={"confidence_threshold": 0.5})
            assert scene.client.get_parameter("confidence_threshold") == 0.5
            await visitor.ask("change", values={"prompts": ["sky", "<img src=x onerror=alert(1)>"]})
            await visitor.until(lambda found: "<img" in str(found.get("classes")))
            await visitor.ask("undo")
            await visitor.ask("undo")
            await visitor.until(lambda found: found.get("classes") == ["sky", "chair"])
            assert scene.client.get_parameter("confidence_threshold") == 0.0

    asyncio.run(asyncio.wait_for(use(), 120))
    wait_until(lambda: subscribers() == 0, "nothing computed for nobody")


@pytest.mark.parametrize("encoding", ["32FC1", "rgb8", ""])
def test_probabilities_of_a_bad_image_are_refused(scene: Scene, encoding: str) -> None:
    image = ImageMessage(encoding=encoding, height=4, width=4)
    answer = scene.client.call(GetProbabilities, "/dinoiser/get_probabilities", image=image)
    assert not answer.success and answer.message and len(answer.probabilities) == 0
    image = image_message(np.zeros((48, 64, 3), np.uint8), "rgb8")
    answer = scene.client.call(
        GetProbabilities, "/dinoiser/get_probabilities", image=image, longer_side=65535
    )
    assert answer.success and (answer.rows, answer.columns) == (48, 64)
    assert len(answer.probabilities) == len(answer.class_names) * 48 * 64


def test_people_type_a_prompt_and_see_its_colour(scene: Scene) -> None:
    scene.reset()
    with open_browser() as page:
        page.open(scene.link)
        page.until("return document.querySelectorAll('.chip').length === 2", "two chips")
        page.set("#opacity", "1")
        assert page.share_of(GRASS) == 0.0
        page.keys("#new-prompt", "grass", "\n")
        page.pictured(lambda: page.share_of(GRASS) > 0.1, "the colour of grass in the picture")
        page.until("return document.querySelectorAll('#classes tr').length === 3", "three classes")
        assert scene.prompts() == ["sky", "chair", "grass"]

        # A refusal is shown in the chip that it is about; what was typed can be corrected.
        page.keys("#new-prompt", "<b>Grass</b>: GRASS", "\n")
        page.until("return document.querySelector('.chip.wrong .error')", "the refusal")
        wrong = "return [...document.querySelectorAll('.chip.wrong')].map((chip) => chip.title)"
        assert "<b>Grass</b>: GRASS" in page.run(wrong)
        assert "given twice" in page.text(".chip.wrong .error")
        assert page.run("return document.querySelector('.chip b')") is None
        page.click(".chips .plain button")
        page.until("return document.querySelectorAll('.chip').length === 3", "three chips")

        # By keyboard: move the first prompt to the right, and remove it.
        page.run("document.querySelector('.chip').focus()")
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        keys = ActionChains(page.driver).key_down(Keys.ALT).send_keys(Keys.ARROW_RIGHT)
        keys.key_up(Keys.ALT).perform()
        wait_until(lambda: scene.prompts() == ["chair", "sky", "grass"], "another order")
        page.until("return !document.querySelector('.chips.busy')", "the answer")
        ActionChains(page.driver).send_keys(Keys.DELETE).perform()
        wait_until(lambda: scene.prompts() == ["chair", "grass"], "a prompt less")
        page.until("return document.querySelector('#undo').textContent === 'Undo (3)'", "undo")
        page.click("#undo")
        wait_until(lambda: scene.prompts() == ["chair", "sky", "grass"], "the prompt again")
        assert page.problems() == []


def test_people_change_a_parameter_and_ask_why(scene: Scene) -> None:
    scene.reset()
    with open_browser() as page:
        page.open(scene.link)
        page.set("#parameter-confidence_threshold", "0.25", "change")
        threshold = lambda: scene.client.get_parameter("confidence_threshold")  # noqa: E731
        wait_until(lambda: threshold() == 0.25, "the threshold")
        page.set("#parameter-confidence_threshold", "7", "change")
        page.until("return document.querySelector('.parameter .error:not([hidden])')", "a refusal")
        assert "0 to 1" in page.text(".parameter .error:not([hidden])")
        assert page.run("return document.querySelector('#parameter-model').disabled")

        page.click("#freeze")
        frozen = page.run("return document.querySelector('.view canvas').toDataURL()")
        page.click("#why")
        changed = "return document.querySelector('.view canvas').toDataURL() !== arguments[0]"
        wait_until(lambda: page.run(changed, frozen), "a heat map")
        page.until("return document.querySelector('#why-note').textContent", "what is confused")
        page.click("#why")
        assert page.run("return document.querySelector('.view canvas').toDataURL()") == frozen
        from selenium.webdriver.common.action_chains import ActionChains

        canvas = page.driver.find_element("css selector", ".view canvas")
        ActionChains(page.driver).move_to_element(canvas).perform()
        page.until("return document.querySelectorAll('#tip tr').length === 2", "runners-up")
        assert page.problems() == []


def test_two_viewers_one_on_a_phone(scene: Scene) -> None:
    scene.reset()
    with open_browser() as desk, open_browser(phone=True) as phone:
        desk.open(scene.link)
        phone.open(scene.link)
        assert phone.run("return document.documentElement.scrollWidth <= innerWidth")
        small = """return [...document.querySelectorAll("button, select")].filter((entry) => {
            const box = entry.getBoundingClientRect();
            return box.height && !entry.matches(".remove") && box.height < 36; }).length"""
        assert phone.run(small) == 0, "fingers need room"
        phone.keys("#new-prompt", "grass", "\n")
        desk.until("return document.querySelectorAll('.chip').length === 3", "the other's prompt")
        desk.set("#opacity", "1")
        desk.pictured(lambda: desk.share_of(GRASS) > 0.1, "its colour at the desk")
        assert desk.problems() == [] and phone.problems() == []


def test_the_node_is_lost_and_comes_back(scene: Scene) -> None:
    """The last test: the scene's node is another one afterwards."""
    scene.reset()
    with open_browser() as page:
        page.open(scene.link)
        scene.node.stop()
        page.until("return document.body.classList.contains('offline')", "a sign that it is gone")
        assert "/dinoiser" in page.text("#banner")
        assert page.run("return document.querySelector('#new-prompt').disabled")
        with NodeProcess({"prompts": ["grass", "sky", "person"]}):  # of the golden model
            page.until("return !document.body.classList.contains('offline')", "a sign of life")
            page.until("return document.querySelectorAll('#classes tr').length === 3", "classes")
            page.until("return document.querySelector('.view-note').hidden", "masks again")
            assert page.text("#chips").split("×")[0].strip() == "grass"
        assert page.problems() == []
