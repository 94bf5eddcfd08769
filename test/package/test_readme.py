# SPDX-License-Identifier: Apache-2.0
"""README.md says what the code does: its tables against the code and the running node."""

from __future__ import annotations

import importlib.util
import re

from paths import ROOT
from ros_helpers import running_node, wait_until

README = (ROOT / "README.md").read_text(encoding="utf-8")
# What every node of ROS has, or every lifecycle node.
STANDARD_TOPICS = {"/rosout", "/parameter_events", "/clock", "/dinoiser/transition_event"}
STANDARD_SERVICE = re.compile(
    r".*/(describe|get|list|set)_parameter.*|.*/get_type_description"
    r"|.*/(change_state|get_state|get_available_states|get_available_transitions"
    r"|get_transition_graph)"
)


def test_generated_parts_are_up_to_date():
    path = ROOT / "tools" / "update_readme.py"
    spec = importlib.util.spec_from_file_location("update_readme", path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.updated(README) == README, "run: . tools/env.sh && python3 tools/update_readme.py"


def documented() -> dict[str, tuple[str, str]]:
    """Name -> (type, direction) of the interface table."""
    table = README.split("<!-- interfaces -->")[1].split("<!-- /interfaces -->")[0]
    rows = [[c.strip() for c in row.strip("|").split("|")] for row in table.strip().splitlines()]
    names = [row[0].strip("`") for row in rows[2:]]
    assert len(set(names)) == len(names), "each is documented once"
    return {row[0].strip("`"): (row[1], row[2]) for row in rows[2:]}


def offered(client) -> dict[str, tuple[str, str]]:
    """The same, of the running node."""
    node, found = client.node, {}
    for direction, pairs in (
        ("in", node.get_subscriber_names_and_types_by_node("dinoiser", "/")),
        ("out", node.get_publisher_names_and_types_by_node("dinoiser", "/")),
        ("service", node.get_service_names_and_types_by_node("dinoiser", "/")),
    ):
        for name, types in pairs:
            if name in STANDARD_TOPICS or STANDARD_SERVICE.fullmatch(name):
                continue
            name = re.sub(r"^/dinoiser/masks/.*", "~/masks/<class>", name)
            name = name.replace("/dinoiser/", "~/").replace("/image", "image")
            found[name] = (re.sub("/(msg|srv)/", "/", types[0]), direction)
    return found


def test_interfaces_are_those_of_the_running_node():
    wanted = documented()
    wanted["image"] = ("sensor_msgs/Image", "in")  # or CompressedImage, whichever is published
    with running_node() as (_, client):
        wait_until(lambda: len(offered(client)) >= len(wanted), "discovery of all interfaces")
        assert offered(client) == wanted


def test_every_message_and_service_is_in_the_table():
    files = {path.stem for folder in ("msg", "srv") for path in (ROOT / folder).iterdir()}
    table = README.split("<!-- interfaces -->")[1].split("<!-- /interfaces -->")[0]
    assert {name for name in files if name not in table} == set()


def test_linked_files_exist():
    links = re.findall(r"\]\(((?!https?:|#)[^)]+)\)", README)
    assert links and not [link for link in links if not (ROOT / link).exists()]
