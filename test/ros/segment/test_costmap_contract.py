# SPDX-License-Identifier: Apache-2.0
"""What costmap layers can rely on: a model of Nav2's semantic layer, fed by a real node.

The layer has the parameters of config/nav2_costmap.yaml. Inference is so slow that 30 images of the
camera pass meanwhile: a second at 30 Hz, on a machine of any speed.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from costmap_layer import Cloud, SemanticLayer
from depth_camera import FakeDepthCamera
from paths import GOLDEN, ROOT
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from ros_helpers import FakeCamera, running_node, stamp_of, wait_until
from sensor_msgs.msg import Image, PointCloud2
from vision_msgs.msg import LabelInfo

from dinoiser_ros.messages.encode import image_message
from dinoiser_ros.ros.segment.parameters import BY_NAME
from dinoiser_ros.srv import SetPrompts

LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
DEFAULT = list(BY_NAME["prompts"].default)
FRAME = 10**9 // 30  # ns between two images
SIZE = (64, 64)
SMALL = (24, 32)
# The node as it is, but that a file has to grow by 30 bytes before an image is segmented.
PROGRAM = """
import sys, time
from pathlib import Path
import dinoiser_ros.segmentation.segmenter as module

frames, original = Path({frames!r}), module.Segmenter.segment_batch

def segment_batch(self, images, whole=None):
    start, end = frames.stat().st_size, time.monotonic() + 60
    while frames.stat().st_size < start + 30 and time.monotonic() < end:
        time.sleep(0.002)
    return original(self, images, whole)

module.Segmenter.segment_batch = segment_batch
from dinoiser_ros.ros.segment.main import main
sys.exit(main())
"""


def parameters() -> dict[str, Any]:
    """The layer's, as the shipped file has them."""
    text = (ROOT / "config" / "nav2_costmap.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)["local_costmap"]["local_costmap"]["ros__parameters"]
    return copy.deepcopy(values["semantic_layer"])


def tiles(height: int, width: int) -> np.ndarray:
    """(height, width) numbers of the tiles that points lie in, each a square of 4 pixels."""
    rows, columns = np.mgrid[:height, :width] // 4
    numbers: np.ndarray = rows * 100 + columns
    return numbers


FULL = tiles(*SIZE)


class Drive:
    """A camera with depth, the node, and what arrives of both in its order.

    Attributes:
        journal: the stamps of clouds, masks, confidences and label infos, oldest first, each with
            its topic.
        masks: those that arrived.
    """

    def __init__(self, client: Any, frames: Path, depth: bool = False) -> None:
        self.client = client
        self.journal: list[tuple[str, Any]] = []
        self._frames = frames
        self._camera = FakeDepthCamera(client, "") if depth else FakeCamera(client)
        self._camera.pixels = np.load(GOLDEN / "expected.npz")["square.image_u8"]
        self._stamp = client.node.get_clock().now().nanoseconds
        self._collected = [
            self._collect("label_info", LabelInfo, LATCHED),
            self._collect("mask", Image, qos_profile_sensor_data),
            self._collect("confidence", Image, qos_profile_sensor_data),
        ]
        self.masks = self._collected[1]
        self.cloud_sizes: set[tuple[int, int]] = set()
        if depth:
            client.collect(PointCloud2, "/dinoiser/points", 10, SimpleNamespace(append=self._cloud))
        self._camera.connect()
        if depth:
            self._camera.depth = np.full(SIZE, 1500, np.uint16)
            self._camera.publish_until(lambda: self._camera.depth_is_read, "depth to be read")

    def _collect(self, topic: str, kind: type, qos: Any) -> list:
        journal = SimpleNamespace(append=lambda message: self.journal.append((topic, message)))
        return self.client.collect(kind, f"/dinoiser/{topic}", qos, journal)

    def _cloud(self, cloud: PointCloud2) -> None:
        """One of the node's own clouds, which take the place of the camera's."""
        self.cloud_sizes.add((cloud.height, cloud.width))
        self.journal.append(("cloud", stamp_of(cloud)))

    def publish(self) -> None:
        """One image, and the cloud that was measured with it."""
        self._stamp += FRAME
        message = image_message(self._camera.pixels, "rgb8", self._camera.header())
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(self._stamp, 10**9)
        if not isinstance(self._camera, FakeDepthCamera):
            self.journal.append(("cloud", self._stamp))
        self._camera.publish(message)
        with self._frames.open("ab") as file:
            file.write(b"x")
        time.sleep(0.002)

    def go_on(self, masks: int) -> None:
        """Drive until so many masks more have arrived, with their confidences."""
        confidences = self._collected[2]
        wanted = len(self.masks) + masks

        def arrived() -> bool:
            self.publish()
            return min(len(self.masks), len(confidences)) >= wanted

        wait_until(arrived, "masks")

    def call(self, kind: Any, name: str, **request: Any) -> None:
        """Call a service; the camera goes on meanwhile, or the node would never be free."""
        client = self.client.node.create_client(kind, f"/dinoiser/{name}")
        wait_until(client.service_is_ready, "the service")
        future = client.call_async(kind.Request(**request))

        def answered() -> bool:
            self.publish()
            return future.done()

        wait_until(answered, "an answer")
        (result,) = getattr(future.result(), "results", [future.result()])
        assert getattr(result, "successful", True) and getattr(result, "success", True), result

    def feed(self, layer: SemanticLayer, cloud: np.ndarray = FULL) -> SemanticLayer:
        """Give a layer all that arrived, with clouds whose points lie in these tiles."""
        take: dict[str, Callable[[Any], None]] = {
            "label_info": layer.on_labels, "mask": layer.on_mask,
            "confidence": layer.on_confidence, "cloud": layer.on_cloud,
        }  # fmt: skip
        for topic, message in list(self.journal):
            take[topic](message if topic != "cloud" else Cloud(message, cloud))
        return layer


CHANGES = [
    DEFAULT[::-1],  # in another order
    [*DEFAULT[3:], *DEFAULT[:2]],  # a class less, and in another order
    ["traffic cone", *DEFAULT],  # one more, in front
    DEFAULT,
]


@pytest.fixture(scope="module")
def by_name(tmp_path_factory: pytest.TempPathFactory) -> Drive:
    return drive(tmp_path_factory.mktemp("by_name") / "frames", CHANGES, "by_name")


def drive(frames: Path, changes: list[list[str]], policy: str) -> Drive:
    """A drive on which the prompts change and, at the end, the size of masks."""
    frames.touch()
    values = {"prompts": DEFAULT, "id_policy": policy}
    with running_node(values, program=PROGRAM.format(frames=str(frames))) as (_, client):
        driven = Drive(client, frames)
        driven.go_on(2)
        for prompts in changes:
            driven.call(SetPrompts, "set_prompts", prompts=prompts)
            driven.go_on(1)
        size = Parameter("mask_size", value=f"{SMALL[1]}x{SMALL[0]}").to_parameter_msg()
        driven.call(SetParameters, "set_parameters", parameters=[size])
        driven.go_on(2)
    return driven


def test_each_mask_finds_its_cloud_after_a_second_of_inference(by_name: Drive) -> None:
    layer = by_name.feed(SemanticLayer(parameters(), "front"))
    assert len(by_name.masks) >= 8
    assert layer.joined == [stamp_of(mask) for mask in by_name.masks]
    assert layer.tiles
    clouds = {stamp for topic, stamp in by_name.journal if topic == "cloud"}
    assert set(layer.joined) <= clouds, "a mask has the stamp of its image, to the nanosecond"


def test_with_the_layers_own_queue_no_mask_finds_its_cloud(by_name: Drive) -> None:
    """What the file's sensor_data_depth is for."""
    values = parameters()
    del values["sensor_data_depth"]
    assert by_name.feed(SemanticLayer(values, "front")).joined == []


def test_with_the_nodes_own_points_the_layers_own_queue_is_enough(tmp_path: Path) -> None:
    """~/points comes with its mask, however long inference takes, and in its size."""
    frames = tmp_path / "frames"
    frames.touch()
    values = {
        "prompts": DEFAULT,
        "image_topics": ["/image"],
        "depth_topics": ["/depth"],
        "camera_info_topics": ["/camera_info"],
        "points_decimation": 1,
        "points_organized": True,
    }
    with running_node(values, program=PROGRAM.format(frames=str(frames))) as (_, client):
        driven = Drive(client, frames, depth=True)
        driven.go_on(5)
    own = parameters()
    del own["sensor_data_depth"]
    layer = driven.feed(SemanticLayer(own, "front"))
    clouds = [stamp for topic, stamp in driven.journal if topic == "cloud"]
    # Masks of before the depth was read have no cloud, and the newest may be on their way.
    masks = [stamp_of(mask) for mask in driven.masks if clouds[0] <= stamp_of(mask) <= clouds[-1]]
    assert len(masks) >= 4
    assert layer.joined[-len(masks) :] == masks == clouds[-len(masks) :]
    assert driven.cloud_sizes == {SIZE} and layer.refused == []
    assert layer.tiles


def test_no_tile_changes_its_meaning_when_prompts_change(by_name: Drive) -> None:
    layer = by_name.feed(SemanticLayer(parameters(), "front"))
    assert layer.flips == 0
    assert len({layer.meaning(tile) for tile in layer.tiles}) > 1, "there is something to mix up"
    infos = [message for topic, message in by_name.journal if topic == "label_info"]
    assert len(infos) == 1 + len(CHANGES)
    meant: dict[int, str] = {}
    for info in infos:
        for entry in info.class_map:
            assert meant.setdefault(entry.class_id, entry.class_name) == entry.class_name


def test_the_shipped_file_names_all_default_classes(by_name: Drive) -> None:
    layer = by_name.feed(SemanticLayer(parameters(), "front"))
    assert layer.unnamed == {"traffic cone"}, "the one that this test added"


def test_ids_by_position_change_what_tiles_mean(tmp_path: Path) -> None:
    """The model sees it: this is what happens to a layer without ids that stay."""
    driven = drive(tmp_path / "frames", CHANGES[:1], "by_position")
    assert driven.feed(SemanticLayer(parameters(), "front")).flips > 0


def test_a_mask_of_the_clouds_size_is_accepted(by_name: Drive) -> None:
    sizes = {stamp_of(mask): (mask.height, mask.width) for mask in by_name.masks}
    assert set(sizes.values()) == {SIZE, SMALL}
    for height, width in (SIZE, SMALL):
        layer = by_name.feed(SemanticLayer(parameters(), "front"), tiles(height, width))
        others = [stamp for stamp, size in sizes.items() if size != (height, width)]
        assert layer.joined == list(sizes) and layer.refused == others


def seen(layer: SemanticLayer, stamp: int, number: int, confidence: int) -> int:
    """Show a layer a single tile; returns its cost."""
    header = SimpleNamespace(stamp=SimpleNamespace(sec=stamp, nanosec=0))
    shape = {"height": 1, "width": 1, "encoding": "mono8", "header": header}
    layer.on_cloud(Cloud(stamp * 10**9, np.zeros((1, 1), int)))
    layer.on_confidence(SimpleNamespace(**shape, data=bytes([confidence])))
    layer.on_mask(SimpleNamespace(**shape, data=bytes([number])))
    return layer.cost(0, stamp * 10**9)


def knowing(values: dict[str, Any]) -> SemanticLayer:
    """A layer that was told 0: floor, 1: person."""
    layer = SemanticLayer(values, "front")
    classes = [SimpleNamespace(class_id=i, class_name=n) for i, n in enumerate(["floor", "person"])]
    layer.on_labels(SimpleNamespace(class_map=classes))
    return layer


def test_the_shipped_thresholds_act() -> None:
    layer = knowing(parameters())
    assert [seen(layer, stamp, 0, 200) for stamp in (1, 2, 3)] == [0, 0, 0]
    assert seen(layer, 4, 1, 30) == 100, "one unsure person costs and does not block"
    assert [seen(layer, stamp, 0, 200) for stamp in (5, 6)] == [100, 0], "and is outvoted"
    assert [seen(layer, stamp, 1, 200) for stamp in (7, 8)] == [100, 254], "two sure ones block"
    assert seen(layer, 9, 1, 10) == 100, "if they are sure on the average"
    assert layer.cost(0, 15 * 10**9) == 0, "forgotten"


def test_a_base_cost_of_254_blocks_at_a_single_unsure_pixel() -> None:
    values = parameters()
    values["front"]["obstacle"]["base_cost"] = 254
    assert seen(knowing(values), 1, 1, 1) == 254
