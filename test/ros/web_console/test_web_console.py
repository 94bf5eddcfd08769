# SPDX-License-Identifier: Apache-2.0
"""The console beside a running node: over its websocket, and in a browser as people use it."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
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
from dinoiser_ros.srv import Forget, GetExamples, GetProbabilities, GetPrompts, SetPrompts, Teach
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

    def classes(self) -> list[tuple[int, str]]:
        """Id and name of the classes, as the node itself says."""
        answer = self.client.call(GetPrompts, "/dinoiser/get_prompts")
        return list(zip(answer.class_ids, answer.class_names, strict=True))

    def examples(self) -> dict[str, int]:
        """What was taught, as the node itself says."""
        answer = self.client.call(GetExamples, "/dinoiser/get_examples")
        return dict(zip(answer.names, answer.counts, strict=True))

    def colour(self, name: str) -> tuple[int, int, int]:
        """The colour of a class in ~/overlay; waits until there is such a class."""
        ids = wait_until(
            lambda: [number for number, other in self.classes() if other == name], name
        )
        red, green, blue = palette(ids[0] + 1)[ids[0]].tolist()
        return red, green, blue

    def move_ids(self) -> int:
        """Leave two classes whose ids are no positions: grass and sky; the id of grass."""
        for prompts in (["sky", "chair", "grass"], ["grass", "sky"]):
            answer = self.client.call(SetPrompts, "/dinoiser/set_prompts", prompts=prompts)
            assert answer.success, answer.message
        (grass, first), (sky, second) = self.classes()
        assert (first, second, sky) == ("grass", "sky", 0) and grass >= 2
        return grass

    def reset(self) -> None:
        """The prompts and parameters that each test begins with."""
        changed = {"confidence_threshold": 0.0, "mask_size": "image"}
        assert self.client.set_parameters(prompts=NODE["prompts"], **changed)[0]
        for name in self.examples():  # once the frames have the new prompts
            forget = partial(self.client.call, Forget, "/dinoiser/forget", name=name)
            wait_until(lambda forget=forget: forget().success, f"{name} forgotten")


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
            known = ["/image"], [[0, "sky"], [1, "chair"]]  # by diagnostics, and by a service
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
            assert agreement(heat, labels == 0) > 0.97

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
            await visitor.until(lambda found: found.get("classes") == known[1])
            assert scene.client.get_parameter("confidence_threshold") == 0.0

    asyncio.run(asyncio.wait_for(use(), 120))
    wait_until(lambda: subscribers() == 0, "nothing computed for nobody")


def test_teaching_over_the_websocket(scene: Scene) -> None:
    scene.reset()

    async def use() -> None:
        async with ClientSession() as session, Visitor(Here(session, scene.port)) as visitor:
            await visitor.until(lambda found: found.get("cameras") == ["/image"])
            await visitor.tell("watch", cameras=["/image"])
            picture = await visitor.picture()
            lawn = {"camera": "/image", "number": picture["number"], "name": "lawn"}
            points = [[0.2, 0.9], [0.8, 0.95]]
            assert (await visitor.ask("teach", **lawn, points=points))["examples"] == 2
            await visitor.knows(lambda state: state["examples"] == [["lawn", 2]])
            assert scene.examples() == {"lawn": 2}
            await visitor.ask("change", values={"prompts": ["sky", "@lawn"]})
            found = picture
            while "lawn" not in [entry[1] for entry in found["classes"]]:
                await visitor.tell("ready", camera="/image")
                found = await visitor.picture()
            labels = labels_of(found["raw"])
            assert labels[-20:].mean() > 0.8 > 0.2 > labels[:10].mean(), "lawn below, sky above"

            bad = await visitor.ask("teach", **lawn, box=[0.5, 0.5, 0.5, 0.6])
            assert "box is empty" in bad["error"]
            bad = await visitor.ask("forget", name="lawn")
            assert "in the prompts in use" in bad["error"] and scene.examples() == {"lawn": 2}
            assert (await visitor.ask("forget", name="lawn", newest=1))["examples"] == 1
            image = image_message(np.full((48, 64, 3), 90, np.uint8), "rgb8")
            others = {"name": "wall", "image": image, "points": [10.0, 10.0]}
            assert scene.client.call(Teach, "/dinoiser/teach", **others).success
            await visitor.knows(lambda state: state["examples"] == [["lawn", 1], ["wall", 1]])
            assert "error" not in await visitor.ask("undo"), "of the prompts"
            await visitor.knows(lambda state: state["undo"] == 0)

    asyncio.run(asyncio.wait_for(use(), 120))


def agreement(heat: np.ndarray, mask: np.ndarray) -> float:
    """The share of a heat map's cells that say the same as a mask."""
    rows = (np.arange(heat.shape[0]) + 0.5) * mask.shape[0] / heat.shape[0]
    columns = (np.arange(heat.shape[1]) + 0.5) * mask.shape[1] / heat.shape[1]
    sampled = mask[rows.astype(int)[:, None], columns.astype(int)]
    return float(((heat > 127.5) == sampled).mean())


@pytest.mark.parametrize("mask_size", ["image", "100x40"])
def test_names_follow_ids_that_are_no_positions(scene: Scene, mask_size: str) -> None:
    scene.reset()
    grass = scene.move_ids()
    assert scene.client.set_parameters(mask_size=mask_size)[0]

    async def use() -> None:
        async with ClientSession() as session, Visitor(Here(session, scene.port)) as visitor:
            classes = [[grass, "grass"], [0, "sky"]]
            await visitor.until(
                lambda found: (found.get("cameras"), found.get("classes")) == (["/image"], classes)
            )
            await visitor.tell("watch", cameras=["/image"])
            await visitor.picture()  # perhaps alone, before the first mask
            await visitor.tell("ready", camera="/image")
            picture = await visitor.until(lambda found: found.get("classes") and "jpeg" in found)
            assert [entry[:2] for entry in picture["classes"]] == [[0, "sky"], [grass, "grass"]]
            labels = labels_of(picture["raw"])
            assert labels.shape == (picture["height"], picture["width"])
            place = {"camera": "/image", "number": picture["number"]}
            for x, y, name in ((0.1, 0.03, "sky"), (0.9, 0.97, "grass")):
                found = await visitor.ask("probe", **place, x=x, y=y, deep=True)
                assert found["class"] == found["ranking"][0][0] == name
            for number, name in classes:
                heat = np.array((await visitor.ask("why", **place, **{"class": name}))["heat"])
                assert agreement(heat, labels == number) > 0.95

    asyncio.run(asyncio.wait_for(use(), 60))


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
    named = list(zip(answer.class_ids, answer.class_names, strict=True))
    assert named == scene.classes()


def test_people_type_a_prompt_and_see_its_colour(scene: Scene) -> None:
    scene.reset()
    with open_browser() as page:
        page.open(scene.link)
        page.until("return document.querySelectorAll('.chip').length === 2", "two chips")
        page.set("#opacity", "1")
        page.keys("#new-prompt", "grass", "\n")
        grass = scene.colour("grass")
        page.pictured(lambda: page.share_of(grass) > 0.1, "the colour of grass in the picture")
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


def test_people_point_at_a_class_and_teach_it(scene: Scene) -> None:
    scene.reset()
    with open_browser() as page:
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        page.open(scene.link)
        page.set("#opacity", "1")
        page.keys("#teach-name", "lawn")
        page.click("#teach-point")
        assert page.run("return document.querySelector('.view.frozen') !== null"), "it is held"
        canvas = page.driver.find_element("css selector", ".view canvas")
        height = canvas.size["height"]
        for x in (-100, 100):
            ActionChains(page.driver).move_to_element_with_offset(
                canvas, x, int(0.4 * height)
            ).click().perform()
        assert page.text("#teach-note").startswith("2 points.")
        page.click("#teach-do")
        wait_until(lambda: scene.examples() == {"lawn": 2}, "two examples")
        wait_until(lambda: scene.prompts() == ["sky", "chair", "@lawn"], "a prompt that names them")
        lawn = scene.colour("lawn")
        page.pictured(lambda: page.share_of(lawn) > 0.1, "the colour of the lawn")
        page.until("return document.querySelectorAll('#examples tbody tr').length", "its row")
        assert not page.run("return document.querySelector('.view.frozen') !== null"), "it goes on"

        # A box for a class in use, by dragging; then another by keyboard alone.
        page.run("document.querySelector('#teach-name').value = ''")
        page.keys("#teach-name", "Sky", "\n")
        drag = ActionChains(page.driver).move_to_element_with_offset(
            canvas, -90, -int(0.45 * height)
        )
        drag.click_and_hold().move_by_offset(120, 25).release().perform()
        assert page.text("#teach-note").startswith("A box.")
        ActionChains(page.driver).send_keys(Keys.ENTER).perform()
        wait_until(lambda: scene.examples() == {"lawn": 2, "Sky": 1}, "an example of the sky")
        wait_until(lambda: scene.prompts()[0] == "sky: sky, @Sky", "it is part of the class")
        page.run("document.activeElement.blur()")
        ActionChains(page.driver).send_keys("t").perform()
        keys = ActionChains(page.driver).send_keys("b", *[Keys.ARROW_RIGHT] * 3)
        keys.send_keys(*[Keys.ARROW_DOWN] * 3, "b", Keys.ENTER).perform()
        wait_until(lambda: scene.examples() == {"lawn": 2, "Sky": 2}, "another one")

        counted = "return document.querySelector('#examples tr:nth-child(2) .number')?.innerText"
        page.until(f"{counted} === '2'", "both of them in the table")
        page.click("#examples tr:nth-child(1) button:nth-child(2)")  # all of a class in use
        page.until("return !document.querySelector('#teach-error').hidden", "a refusal")
        assert "in use" in page.text("#teach-error")
        page.click("#examples tr:nth-child(1) button:nth-child(1)")
        wait_until(lambda: scene.examples() == {"lawn": 1, "Sky": 2}, "one of them forgotten")
        page.click("#undo")
        wait_until(lambda: scene.prompts() == ["sky", "chair", "@lawn"], "the prompt before")
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


def test_people_see_names_and_colours_of_ids_that_are_no_positions(scene: Scene) -> None:
    scene.reset()
    scene.move_ids()
    # Another size, and other proportions, than the picture's.
    assert scene.client.set_parameters(mask_size="100x40")[0]
    grass, sky = scene.colour("grass"), scene.colour("sky")
    with open_browser() as page:
        page.open(scene.link)
        page.until("return document.querySelectorAll('.chip').length === 2", "two chips")
        page.set("#opacity", "1")
        page.pictured(lambda: page.share_of(grass) > 0.1, "the colour of grass")
        assert page.share_of(grass) + page.share_of(sky) == pytest.approx(1.0)
        rows = """return [...document.querySelectorAll("#classes tr")].map((row) => [
            row.querySelector(".class-name").innerText.trim(),
            row.querySelector("input[type=color]").value, parseInt(row.cells[2].innerText)])"""
        (first, *grass_row), (second, *sky_row) = page.run(rows)
        assert (first, second) == ("grass", "sky")  # no row for an id between theirs
        assert [grass_row[0], sky_row[0]] == [f"#{bytes(colour).hex()}" for colour in (grass, sky)]
        assert grass_row[1] == pytest.approx(100 * page.share_of(grass), abs=2)
        chips = (
            "return [...document.querySelectorAll('.chip .swatch')].map((s) => s.style.background)"
        )
        assert page.run(chips) == [f"rgb{grass}", f"rgb{sky}"]

        hover = """const canvas = document.querySelector(".view canvas");
            const box = canvas.getBoundingClientRect();
            canvas.dispatchEvent(new PointerEvent("pointermove", {
                clientX: box.left + arguments[0] * box.width,
                clientY: box.top + arguments[1] * box.height }));
            return [document.querySelector("#tip strong").innerText,
                document.querySelector("#tip .swatch").style.background]"""
        assert page.run(hover, 0.9, 0.97) == ["grass", f"rgb{grass}"]
        assert page.run(hover, 0.1, 0.03) == ["sky", f"rgb{sky}"]
        page.run("document.querySelector('#classes input[type=checkbox]').click()")
        page.pictured(lambda: page.share_of(grass) < 0.01 < page.share_of(sky), "grass is hidden")
        page.keys("#new-prompt", "9=rock", "\n")
        page.until("return document.querySelectorAll('#classes tr').length === 3", "three classes")
        assert (9, "rock") in scene.classes()
        rock = scene.colour("rock")
        page.until(f"return ({chips[7:]})[2] === 'rgb{rock}'", "its colour")
        assert page.text(".chip:last-child .chip-text") == "9 = rock"
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
        grass = scene.colour("grass")
        desk.pictured(lambda: desk.share_of(grass) > 0.1, "its colour at the desk")
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
