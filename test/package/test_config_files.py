# SPDX-License-Identifier: Apache-2.0
"""config/ for RViz, Foxglove, SROS 2, DDS: the files parse, and name what the node really has."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from fnmatch import fnmatchcase
from typing import Any

import yaml
from paths import ROOT
from ros_helpers import WITH_DEPTH, running_node, wait_until
from sensor_msgs.msg import PointCloud2

from dinoiser_ros.ros.segment.points.class_groups import class_groups

CONFIG = ROOT / "config"
SHOWN = {"/image", "/dinoiser/overlay", "/dinoiser/mask"}  # what people have to see


def interfaces() -> dict[str, str]:
    """Absolute name -> type of the topics in the documented table."""
    text = (ROOT / "docs" / "reference" / "interfaces.md").read_text(encoding="utf-8")
    table = text.split("<!-- interfaces -->")[1].split("<!-- /interfaces -->")[0]
    rows = [[c.strip() for c in row.strip("|").split("|")] for row in table.strip().splitlines()]
    names = {row[0].strip("`"): row[1] for row in rows[2:] if row[2] != "service"}
    return {
        re.sub("^image$", "/image", name).replace("~", "/dinoiser"): names[name] for name in names
    }


def test_rviz_shows_images_of_the_node() -> None:
    config = yaml.safe_load((CONFIG / "segment.rviz").read_text(encoding="utf-8"))
    displays = config["Visualization Manager"]["Displays"]
    topics = {display["Topic"]["Value"] for display in displays}
    assert topics >= SHOWN
    for display in displays:
        assert display["Class"] == "rviz_default_plugins/Image"
        assert interfaces()[display["Topic"]["Value"]].startswith("sensor_msgs/Image")
        assert display["Name"] in config["Window Geometry"], "each has a window of its own"


def panels(layout: Any) -> list[str]:
    """The panels in a Foxglove layout's tree."""
    if isinstance(layout, str):
        return [layout]
    assert layout["direction"] in ("row", "column") and 0 < layout["splitPercentage"] < 100
    return [*panels(layout["first"]), *panels(layout["second"])]


def test_foxglove_shows_images_and_diagnostics() -> None:
    text = (CONFIG / "foxglove_layout.json").read_text(encoding="utf-8")
    config = json.loads(text)
    assert sorted(panels(config["layout"])) == sorted(config["configById"])
    kinds = {name.partition("!")[0] for name in config["configById"]}
    assert kinds >= {"Image", "DiagnosticSummary", "DiagnosticStatusPanel"}
    topics = set(re.findall(r'"(?:imageTopic|topicToRender|topicPath)": "(/[^".]*)', text))
    assert topics >= SHOWN | {"/diagnostics"}
    assert topics <= set(interfaces())
    selected = config["configById"]["DiagnosticStatusPanel!camera"]
    assert selected["selectedName"] == f"{selected['selectedHardwareId']}: /image"


def test_the_transport_holds_several_images() -> None:
    """bench/ uses it, so that it is known to work."""
    root = ElementTree.parse(CONFIG / "fastdds_images.xml").getroot()
    (segment,) = (element for element in root.iter() if element.tag.endswith("segment_size"))
    assert int(segment.text) > 8 * 1920 * 1080 * 3 // 2
    used = [element.text for element in root.iter() if element.tag.endswith("transport_id")]
    assert sorted(used) == ["shared_memory", "shared_memory", "udp", "udp"]


def test_the_layer_for_clouds_adds_to_a_costmap() -> None:
    """No list of plugins, which would replace the user's; sources that mark and clear."""
    text = (CONFIG / "nav2_obstacles.yaml").read_text(encoding="utf-8")
    parameters = yaml.safe_load(text)["local_costmap"]["local_costmap"]["ros__parameters"]
    ((_, layer),) = parameters.items()
    sources = [layer[name] for name in layer["observation_sources"].split()]
    written = {
        name: yaml.safe_load(value) for name, value in re.findall(r"(\w+_groups): (.*)", text)
    }
    topics = {f"/dinoiser/{group.topic}" for group in class_groups(written)}
    assert {source["topic"] for source in sources} == topics
    assert any(source["marking"] for source in sources)
    assert any(source["clearing"] for source in sources)
    for source in sources:
        assert source["data_type"] == "PointCloud2"  # Nav2's default is LaserScan
        assert source["max_obstacle_height"] > source["min_obstacle_height"]  # and 0 of both
        # The layer's own limits hold as well for what is marked.
        assert (
            layer["min_obstacle_height"] <= source["min_obstacle_height"] or not source["marking"]
        )


def policy() -> ElementTree.Element:
    """The node's profile in the SROS 2 policy."""
    root = ElementTree.parse(CONFIG / "sros2_policy.xml").getroot()
    assert (root.tag, root.attrib) == ("policy", {"version": "0.2.0"})
    (profile,) = root.findall("./enclaves/enclave/profiles/profile")
    return profile


def allowed(kind: str, right: str) -> set[str]:
    """Absolute names that the policy allows, such as ("topic", "publish")."""
    names = {
        element.text
        for group in policy().findall(f"{kind}s")
        if group.attrib == {right: "ALLOW"}
        for element in group.findall(kind)
    }
    node = f"/{policy().attrib['node']}"
    return {name.replace("~", node) if name[0] in "/~" else f"/{name}" for name in names}


def test_the_policy_has_the_form_that_sros2_reads() -> None:
    rights = {"topics": {"publish", "subscribe"}, "services": {"reply", "request"}}
    assert policy().attrib == {"ns": "/", "node": "dinoiser"}
    for group in policy():
        assert set(group.attrib) <= rights[group.tag] and set(group.attrib.values()) == {"ALLOW"}
        assert {child.tag for child in group} == {group.tag.removesuffix("s")}


def test_the_policy_allows_what_the_node_uses_and_no_more() -> None:
    wanted = {
        ("topic", "publish"): "get_publisher_names_and_types_by_node",
        ("topic", "subscribe"): "get_subscriber_names_and_types_by_node",
        ("service", "reply"): "get_service_names_and_types_by_node",
    }
    assert not allowed("service", "request")

    def used(method: str) -> set[str]:
        return {name for name, _ in getattr(client.node, method)("dinoiser", "/")}

    def differences() -> set[str]:
        found = set()
        for (kind, right), method in wanted.items():
            patterns, names = allowed(kind, right), used(method)
            found |= {n for n in names if not any(fnmatchcase(n, p) for p in patterns)}
            found |= {p for p in patterns if not any(fnmatchcase(n, p) for n in names)}
        return found - {"/clock"}  # subscribed to with use_sim_time only

    # get_type_description exists from ROS 2 Jazzy on.
    with running_node(WITH_DEPTH) as (_, client):
        client.collect(PointCloud2, "/dinoiser/points", 10)  # else depth is not subscribed to
        last: list[set[str]] = [set()]

        def same() -> bool:
            last[0] = differences()
            return last[0] <= {"/dinoiser/get_type_description"}

        wait_until(same, "a graph that fits the policy")
