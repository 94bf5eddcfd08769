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

from dinoiser_ros.ros.segment.parameters import BY_NAME
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
    assert kinds >= {"Image", "DiagnosticSummary", "DiagnosticStatusPanel", "Parameters"}
    call = config["configById"]["CallService!prompts"]
    assert call["serviceName"] == "/dinoiser/set_prompts"
    assert json.loads(call["requestPayload"])["prompts"]
    topics = set(re.findall(r'"(?:imageTopic|topicToRender|topicPath)": "(/[^".]*)', text))
    assert topics >= SHOWN | {"/diagnostics"}
    assert topics <= set(interfaces())
    selected = config["configById"]["DiagnosticStatusPanel!camera"]
    assert selected["selectedName"] == f"{selected['selectedHardwareId']}: /image"


# What the layer declares, by its source (ros-navigation/semantic_segmentation_layer, b269885), with
# what Nav2 declares for every layer. A parameter of another type would stop the costmap.
LAYER_PARAMETERS = {
    "plugin": str, "enabled": bool, "combination_method": int, "observation_sources": str,
    "publish_debug_topics": bool, "use_approximate_time_sync": bool, "sensor_data_depth": int,
}  # fmt: skip
SOURCE_PARAMETERS = {
    "segmentation_topic": str, "confidence_topic": str, "labels_topic": str,
    "pointcloud_topic": str, "observation_persistence": float, "expected_update_rate": float,
    "class_types": list, "max_obstacle_distance": float, "min_obstacle_distance": float,
    "tile_map_decay_time": float, "visualize_tile_map": bool, "use_cost_selection": bool,
    "camera_horizontal_fov": float, "camera_vertical_fov": float, "fov_decay_time": float,
    "outside_fov_decay_time": float, "visualize_frustum_fov": bool,
}  # fmt: skip
CLASS_TYPE_PARAMETERS = {
    "classes": list, "base_cost": int, "max_cost": int, "mark_confidence": int,
    "samples_to_max_cost": int, "dominant_priority": bool,
}  # fmt: skip


def nav2_costmap() -> tuple[dict[str, Any], str]:
    """The parameters of the local costmap in config/nav2_costmap.yaml, and the file's text."""
    text = (CONFIG / "nav2_costmap.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["local_costmap"]["local_costmap"]["ros__parameters"], text


def check_types(values: dict[str, Any], declared: dict[str, type], others: list[str]) -> None:
    for name, value in values.items():
        if name not in others:
            assert type(value) is declared[name], name
            assert not isinstance(value, list) or all(type(entry) is str for entry in value)


def test_the_costmap_layer_has_the_parameters_that_are_given() -> None:
    layer = nav2_costmap()[0]["semantic_layer"]
    assert layer["plugin"] == "semantic_segmentation_layer::SemanticSegmentationLayer"
    sources = layer["observation_sources"].split()
    check_types(layer, LAYER_PARAMETERS, sources)
    for source in sources:
        kinds = layer[source]["class_types"]
        check_types(layer[source], SOURCE_PARAMETERS, kinds)
        assert set(layer[source]) >= {*kinds, "segmentation_topic", "pointcloud_topic"}
        classes = [name for kind in kinds for name in layer[source][kind]["classes"]]
        assert sorted(classes) == sorted(p.partition(":")[0] for p in BY_NAME["prompts"].default)
        for kind in kinds:
            assert layer[source][kind].keys() == CLASS_TYPE_PARAMETERS.keys()
            check_types(layer[source][kind], CLASS_TYPE_PARAMETERS, [])
            numbers = [value for value in layer[source][kind].values() if type(value) is int]
            assert all(0 <= number <= 254 for number in numbers), "the layer reads them as bytes"
            assert layer[source][kind]["base_cost"] < 254, "lethal at a single unsure pixel"


def test_the_costmap_layers_topics_are_the_nodes() -> None:
    front = nav2_costmap()[0]["semantic_layer"]["front"]
    kinds = {"segmentation": "sensor_msgs/Image", "labels": "vision_msgs/LabelInfo"}
    for name, kind in (*kinds.items(), ("confidence", "sensor_msgs/Image")):
        assert interfaces()[front[f"{name}_topic"]] == kind


def test_the_costmap_layer_is_added_to_those_of_the_user() -> None:
    """A list `plugins` here would take the place of the user's, so a comment shows the line."""
    values, text = nav2_costmap()
    assert list(values) == ["semantic_layer"]
    (line,) = re.findall(r"^#\s+(plugins: .*)$", text, re.MULTILINE)
    plugins = yaml.safe_load(line)["plugins"]
    assert plugins == ["voxel_layer", "semantic_layer", "inflation_layer"]


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
