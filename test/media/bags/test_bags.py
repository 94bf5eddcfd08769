# SPDX-License-Identifier: Apache-2.0
"""Bags through `dinoiser segment`, written and read back here with rosbags."""

from __future__ import annotations

import hashlib
import re
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from vision_msgs_hashes import STANDARD_HASHES

pytest.importorskip("rosbags")

from bag_files import (
    COMPRESSED,
    FRAMES,
    FRONT,
    HEIGHT,
    IMAGE,
    REAR,
    START,
    WIDTH,
    compressed,
    header,
    image,
    messages,
    pixels,
    write_bag,
)
from media_fakes import fail_at_call
from rosbags import rosbag1, rosbag2
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosDurability, QosReliability
from rosbags.rosbag2 import CompressionMode, StoragePlugin
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from dinoiser_ros.errors import MediaError
from dinoiser_ros.media.bags import messages as bag_messages
from dinoiser_ros.media.bags.messages import typestore
from dinoiser_ros.media.bags.segment import segment_bag
from dinoiser_ros.media.bags.topics import choose_topics, namespaces
from dinoiser_ros.media.inputs import BAG, Input, kind_of
from dinoiser_ros.media.settings import Settings
from dinoiser_ros.messages.decode import ENCODINGS
from dinoiser_ros.messages.topic_names import output_namespaces


@dataclass(frozen=True)
class Recorded:
    """A message as it is in a bag."""

    topic: str
    type: str
    time: int
    data: bytes


def read_bag(path: Path) -> list[Recorded]:
    """All messages in the order of a reader that also checks definitions against hashes."""
    with AnyReader([path]) as reader:
        return [Recorded(c.topic, c.msgtype, t, bytes(d)) for c, t, d in reader.messages()]


def decoded(path: Path, topic: str) -> list[Any]:
    with AnyReader([path]) as reader:
        chosen = [c for c in reader.connections if c.topic == topic]
        return [reader.deserialize(d, c.msgtype) for c, _, d in reader.messages(chosen)]


def is_own(message: Recorded) -> bool:
    return "/dinoiser/" in message.topic


def digest(path: Path) -> str:
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


STORAGES = {
    "sqlite3": (StoragePlugin.SQLITE3, CompressionMode.NONE),
    "sqlite3-files": (StoragePlugin.SQLITE3, CompressionMode.FILE),
    "sqlite3-messages": (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    "mcap": (StoragePlugin.MCAP, CompressionMode.NONE),
    "mcap-chunks": (StoragePlugin.MCAP, CompressionMode.STORAGE),
}


@pytest.mark.parametrize("storage", STORAGES)
def test_the_copy_has_all_that_was_recorded_and_the_nodes_topics(tmp_path, quick, storage):
    bag = write_bag(tmp_path / "drive", *STORAGES[storage])
    before = digest(bag.path)
    outcome = segment_bag(quick, bag, Settings(tmp_path / "out"))
    assert digest(bag.path) == before, "the input is as it was"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["drive_segmented"]
    copy = read_bag(tmp_path / "out" / "drive_segmented")
    assert [message for message in copy if not is_own(message)] == read_bag(bag.path)
    results = [f"/{side}/dinoiser/{name}" for side in ("front", "rear")
               for name in ("label_info", "mask", "confidence")]  # fmt: skip
    assert list(dict.fromkeys(m.topic for m in copy if is_own(m))) == results
    for topic in results:
        count = sum(message.topic == topic for message in copy)
        assert count == (1 if topic.endswith("label_info") else FRAMES)
    assert f"/front/image_raw as /front/dinoiser, {FRAMES} frames: " in outcome.summary
    assert not outcome.problems
    (note,) = outcome.notes
    assert note.startswith("/front/depth/image_rect was left out, it is depth (16UC1)")

    check_storage(bag.path, tmp_path / "out" / "drive_segmented", *STORAGES[storage])


def check_storage(recorded: Path, copy: Path, plugin: StoragePlugin, mode: CompressionMode) -> None:
    """The copy's storage, compression, types and quality of service are those of the recording."""
    text = (copy / "metadata.yaml").read_text()
    assert f"storage_identifier: {plugin.name.lower()}" in text
    named = mode.name.lower() if mode in (CompressionMode.FILE, CompressionMode.MESSAGE) else "''"
    assert f"compression_mode: {named}" in text
    assert "version: 8" in text, "the newest that Humble reads"
    with rosbag2.Reader(recorded) as old, rosbag2.Reader(copy) as new:
        if mode is CompressionMode.STORAGE:
            (stored,) = new.storage.storages
            assert {chunk.compression for chunk in stored.chunks} == {"zstd"}
        profiles = {c.topic: c.ext.offered_qos_profiles for c in new.connections}
        for connection in old.connections:
            assert profiles[connection.topic] == connection.ext.offered_qos_profiles
        assert {c.topic: c.digest for c in old.connections}.items() <= {
            c.topic: c.digest for c in new.connections
        }.items()
    (info,), (mask,) = profiles["/front/dinoiser/label_info"], profiles["/front/dinoiser/mask"]
    assert info.durability is QosDurability.TRANSIENT_LOCAL
    assert info.reliability is QosReliability.RELIABLE
    assert mask.reliability is QosReliability.BEST_EFFORT


def test_results_are_those_of_the_segmenter_and_belong_to_their_image(
    tmp_path, segmenter, monkeypatch
):
    content = [entry for entry in messages(typestore("ros2_jazzy"), 2) if entry[0] == FRONT]
    bag = write_bag(tmp_path / "drive", content=content)
    monkeypatch.setattr(segmenter, "confidence_threshold", 0.25)
    save = frozenset({"labels", "confidence", "overlay"})
    segment_bag(segmenter, bag, Settings(tmp_path, save=save))
    copy = tmp_path / "drive_segmented"
    order = [message.topic.removeprefix("/dinoiser/") for message in read_bag(copy)]
    assert order == [FRONT, "label_info", *2 * ["overlay", "mask", "confidence", FRONT]][:-1]
    times = [message.time for message in read_bag(copy)]
    assert times == [START] * 5 + [START + 10**8] * 4
    (info,) = decoded(copy, "/dinoiser/label_info")
    assert [(c.class_id, c.class_name) for c in info.class_map] == [
        (c.id, c.name) for c in segmenter.classes
    ]
    assert (info.threshold, info.header.stamp.sec, info.header.frame_id) == (0.25, 1600, "")
    images = zip(*(decoded(copy, t) for t in (FRONT, "/dinoiser/mask", "/dinoiser/confidence",
                                              "/dinoiser/overlay")), strict=True)  # fmt: skip
    for number, (source, mask, confidence, overlay) in enumerate(images):
        result = segmenter.segment(pixels(number))
        assert (mask.encoding, overlay.encoding, confidence.encoding) == ("mono8", "rgb8", "mono8")
        np.testing.assert_array_equal(mask.data.reshape(HEIGHT, WIDTH), result.labels)
        wanted = np.rint(result.confidence * 255)
        np.testing.assert_array_equal(confidence.data.reshape(HEIGHT, WIDTH), wanted)
        assert overlay.data.size == 3 * HEIGHT * WIDTH
        for message in (mask, confidence, overlay):
            assert str(message.header) == str(source.header)


def test_many_classes_make_a_16_bit_mask():
    store = typestore("ros2_humble")
    mask = bag_messages.image(store, header(store, 0), np.full((HEIGHT, WIDTH), 300, np.uint16))
    assert (mask.encoding, mask.step, mask.is_bigendian) == ("mono16", 2 * WIDTH, 0)
    assert mask.data.view("<u2").min() == 300


def test_every_encoding_of_the_node(tmp_path, quick):
    store = get_typestore(Stores.ROS2_JAZZY)
    content = []
    for number, encoding in enumerate(ENCODINGS):
        sizes = {"rgb8": 3, "bgr8": 3, "8UC3": 3, "rgba8": 4, "bgra8": 4, "8UC4": 4, "mono16": 2}
        step = sizes.get(encoding, 2 if encoding[0] in "yu" else 1)
        rows = HEIGHT * 3 // 2 if encoding.startswith("nv") else HEIGHT
        data = np.full(rows * WIDTH * step, 128, np.uint8)
        content.append((FRONT, IMAGE, START + number, image(store, number, encoding, data, step)))
    outcome = segment_bag(quick, write_bag(tmp_path / "drive", content=content), Settings(tmp_path))
    assert f"{len(ENCODINGS)} frames: " in outcome.summary and not outcome.problems


def test_bad_frames_are_counted_and_the_rest_goes_on(tmp_path, quick):
    store = get_typestore(Stores.ROS2_JAZZY)
    cut = bytes(store.serialize_cdr(image(store, 1), IMAGE)[:90])
    content = [
        (FRONT, IMAGE, START, image(store, 0, "made_up")),
        (FRONT, IMAGE, START + 1, cut),
        (REAR, COMPRESSED, START + 2, compressed(store, 0, np.zeros(20, np.uint8))),
        (FRONT, IMAGE, START + 3, image(store, 3)),
        (REAR, COMPRESSED, START + 4, compressed(store, 4)),
    ]
    bag = write_bag(tmp_path / "drive", content=content)
    outcome = segment_bag(quick, bag, Settings(tmp_path))
    first, second = outcome.problems
    assert "/front/image_raw: 2 of 3 images were left alone" in first and "made_up" in first
    assert "/rear/image_raw/compressed: 1 of 2 images" in second
    copy = read_bag(tmp_path / "drive_segmented")
    assert [message for message in copy if not is_own(message)] == read_bag(bag.path)
    assert sum(message.topic.endswith("mask") for message in copy) == 2


def test_a_bag_without_a_readable_image_gives_nothing(tmp_path, quick):
    store = get_typestore(Stores.ROS2_JAZZY)
    bag = write_bag(tmp_path / "drive", content=[(FRONT, IMAGE, START, image(store, 0, "odd"))])
    with pytest.raises(MediaError, match="none of its images can be read.*'odd'"):
        segment_bag(quick, bag, Settings(tmp_path / "out"))
    assert list((tmp_path / "out").iterdir()) == []


def test_chosen_topics(tmp_path, quick):
    bag = write_bag(tmp_path / "drive")
    segment_bag(quick, bag, Settings(tmp_path, topics=("front/image_raw",)))
    topics = {message.topic for message in read_bag(tmp_path / "drive_segmented")}
    assert {topic for topic in topics if "dinoiser" in topic} == {
        "/dinoiser/mask", "/dinoiser/confidence", "/dinoiser/label_info",
    }  # fmt: skip
    with pytest.raises(MediaError, match=f"no images on /nowhere: it has {FRONT}, {REAR}"):
        segment_bag(quick, bag, Settings(tmp_path / "out", topics=("/nowhere",)))
    assert not (tmp_path / "out").exists()


def test_what_was_written_before_is_kept_unless_asked(tmp_path, quick):
    bag = write_bag(tmp_path / "drive")
    segment_bag(quick, bag, Settings(tmp_path))
    before = digest(tmp_path / "drive_segmented")
    with pytest.raises(MediaError, match="drive_segmented exists already: give --overwrite"):
        segment_bag(quick, bag, Settings(tmp_path, save=frozenset({"labels"})))
    assert digest(tmp_path / "drive_segmented") == before
    segment_bag(quick, bag, Settings(tmp_path, save=frozenset({"labels"}), overwrite=True))
    assert "/front/dinoiser/confidence" not in {
        message.topic for message in read_bag(tmp_path / "drive_segmented")
    }


def test_a_segmented_bag_is_not_segmented_again(tmp_path, quick):
    segment_bag(quick, write_bag(tmp_path / "drive"), Settings(tmp_path))
    again = Input(tmp_path / "drive_segmented", BAG, "drive_segmented")
    with pytest.raises(MediaError, match="has a topic /front/dinoiser/label_info already"):
        segment_bag(quick, again, Settings(tmp_path / "out"))


@pytest.mark.parametrize("plugin", StoragePlugin)
def test_nothing_half_written_is_left(tmp_path, quick, monkeypatch, plugin):
    bag = write_bag(tmp_path / "drive", plugin)
    fail_at_call(monkeypatch, quick, 2, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        segment_bag(quick, bag, Settings(tmp_path / "out"))
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("plugin", StoragePlugin)
def test_single_files(tmp_path, quick, plugin):
    folder = write_bag(tmp_path / "drive", plugin).path
    (file,) = [path for path in folder.iterdir() if kind_of(path) == BAG]
    segment_bag(quick, Input(file, BAG, "drive"), Settings(tmp_path))
    copy = read_bag(tmp_path / "drive_segmented")
    assert [message for message in copy if not is_own(message)] == read_bag(folder)


def test_parts_of_a_split_bag_become_one(tmp_path, quick):
    store = get_typestore(Stores.ROS2_JAZZY)
    content = messages(store, 4)
    bag = write_bag(tmp_path / "drive", StoragePlugin.MCAP, content=content[:9])
    second = write_bag(tmp_path / "second", StoragePlugin.MCAP, content=content[9:])
    (second.path / "second.mcap").rename(bag.path / "second.mcap")
    metadata = bag.path / "metadata.yaml"
    whole = yaml.safe_load(metadata.read_text())
    information = whole["rosbag2_bagfile_information"]
    information["relative_file_paths"].append("second.mcap")
    information["message_count"] = len(content)
    metadata.write_text(yaml.safe_dump(whole))
    outcome = segment_bag(quick, bag, Settings(tmp_path))
    assert not outcome.problems
    copy = read_bag(tmp_path / "drive_segmented")
    assert [message for message in copy if not is_own(message)] == read_bag(bag.path)
    assert len(list((tmp_path / "drive_segmented").iterdir())) == 2, "one file and metadata.yaml"


def test_a_bag_of_ros_1(tmp_path, segmenter):
    store = get_typestore(Stores.ROS1_NOETIC)
    path = tmp_path / "drive.bag"
    with rosbag1.Writer(path) as writer:
        connections: dict[str, Any] = {}
        for topic, kind, time, message in messages(store, 2):
            if topic not in connections:
                latched = int(topic == "/chatter")
                connections[topic] = writer.add_connection(
                    topic, kind, typestore=store, callerid="/camera", latching=latched
                )
            writer.write(connections[topic], time, store.serialize_ros1(message, kind))
    before = digest(path)
    segment_bag(segmenter, Input(path, BAG, "drive"), Settings(tmp_path))
    assert digest(path) == before
    copy = read_bag(tmp_path / "drive_segmented.bag")
    assert [message for message in copy if not is_own(message)] == read_bag(path)
    own = [message.topic for message in copy if message.topic.startswith("/front/dinoiser/")]
    assert own == [
        f"/front/dinoiser/{name}" for name in ("label_info", *2 * ("mask", "confidence"))
    ]
    source, mask = (
        decoded(tmp_path / "drive_segmented.bag", topic)[1]
        for topic in (FRONT, "/front/dinoiser/mask")
    )
    assert str(mask.header) == str(source.header)
    np.testing.assert_array_equal(
        mask.data.reshape(HEIGHT, WIDTH), segmenter.segment(pixels(1)).labels
    )
    with rosbag1.Reader(tmp_path / "drive_segmented.bag") as reader:
        latched = {c.topic for c in reader.connections if c.ext.latching}
        assert latched == {"/chatter", "/front/dinoiser/label_info", "/rear/dinoiser/label_info"}


def test_types_that_nobody_defines_are_copied(tmp_path, quick):
    """As in bags of Humble, which hold no definitions."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    store.register(get_types_from_msg("int32 secret\n", "custom_msgs/msg/Secret"))
    secret = store.types["custom_msgs/msg/Secret"](secret=42)
    content = [*messages(store, 1), ("/secret", "custom_msgs/msg/Secret", START, secret)]
    bag = write_bag(tmp_path / "drive", content=content, store=store)
    database = sqlite3.connect(bag.path / "drive.db3")
    database.executescript(
        "DELETE FROM message_definitions; UPDATE topics SET type_description_hash = ''"
    )
    database.close()
    metadata = bag.path / "metadata.yaml"
    text = re.sub(r"type_description_hash: *\n? *\w+", "type_description_hash: ''",
                  metadata.read_text())  # fmt: skip
    metadata.write_text(text)
    segment_bag(quick, bag, Settings(tmp_path))
    copy = read_bag(tmp_path / "drive_segmented")
    (found,) = [message for message in copy if message.topic == "/secret"]
    assert found.type == "custom_msgs/msg/Secret"
    assert found.data == bytes(store.serialize_cdr(secret, "custom_msgs/msg/Secret"))
    assert decoded(tmp_path / "drive_segmented", "/chatter")[0].data == "hello"


def test_lost_messages_are_said(tmp_path, quick):
    bag = write_bag(tmp_path / "drive")
    database = sqlite3.connect(bag.path / "drive.db3")
    database.executescript("DELETE FROM messages WHERE id = 1")
    database.close()
    outcome = segment_bag(quick, bag, Settings(tmp_path))
    assert outcome.problems == ("8 messages were copied, but the bag says it has 9",)


@pytest.mark.parametrize("name", ["a.mcap", "a.db3", "a.bag"])
@pytest.mark.parametrize("content", [b"", b"no bag at all", b"\x89MCAP0\r\n", b"#ROSBAG V2.0\n"])
def test_files_that_are_no_bags(tmp_path, quick, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MediaError, match="the bag cannot be read"):
        segment_bag(quick, Input(tmp_path / name, BAG, "a"), Settings(tmp_path / "out"))


def test_a_bag_that_breaks_off_leaves_nothing(tmp_path, quick):
    bag = write_bag(tmp_path / "drive", StoragePlugin.MCAP)
    file = bag.path / "drive.mcap"
    file.write_bytes(file.read_bytes()[:-2000])
    with pytest.raises(MediaError, match="mcap recover"):
        segment_bag(quick, bag, Settings(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("module", "package"), [("rosbags", "rosbags"), ("cv2", "opencv")])
def test_without_a_package_it_is_said_what_to_install(
    tmp_path, quick, monkeypatch, module, package
):
    bag = write_bag(tmp_path / "drive")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MediaError, match=rf"pip install {package}.*\[bags\]"):
        segment_bag(quick, bag, Settings(tmp_path))


def test_label_info_is_the_standard_one():
    store = typestore("ros2_humble")
    for name in ("LabelInfo", "VisionClass"):
        assert store.hash_rihs01(f"vision_msgs/msg/{name}") == f"RIHS01_{STANDARD_HASHES[name]}"


@pytest.mark.parametrize(
    ("topic", "encoding", "chosen"),
    [
        ("/camera/image_raw", "bgr8", True),
        ("/camera/image_raw", "", True),
        ("/camera/mono", "mono16", True),
        ("/camera/depth/image_raw", "mono16", False),
        ("/camera/range", "16UC1", False),
        ("/camera/points", "32FC1", False),
        ("/camera/x/compressed", "16UC1; compressedDepth", False),
        ("/stereo/Disparity", "rgb8", False),
        ("/dinoiser/mask", "mono8", False),
        ("/front/dinoiser/masks/floor", "mono8", False),
        ("/dinoiser/image_raw", "rgb8", True),
    ],
)
def test_which_topics_are_cameras(topic, encoding, chosen):
    found, notes = choose_topics([topic, "/other"], None, {topic: encoding, "/other": "rgb8"}.get)
    assert (topic in found) is chosen and len(notes) == (not chosen)
    assert choose_topics([topic], [topic], {topic: encoding}.get) == ([topic], [])


TOKENS = st.sampled_from(["front", "rear", "image", "image_raw", "compressed", "dinoiser"])
TOPICS = st.lists(TOKENS, min_size=1, max_size=4).map(lambda tokens: f"/{'/'.join(tokens)}")


@settings(deadline=None)
@given(st.lists(TOPICS, min_size=1, max_size=6, unique=True))
def test_results_live_where_the_node_publishes_them(topics):
    found = namespaces(topics)
    if len(topics) == 1:
        assert found == ["/dinoiser"]
    else:
        assert found == output_namespaces(topics, "dinoiser")
    assert len(set(found)) == len(topics)
    assert namespaces([topic[1:] for topic in topics]) == found, "ROS 1 without leading slash"


def test_a_note_advises_what_helps():
    """A topic that only looks like depth can be asked for; the pictures of depth cannot be used."""
    encodings = {"/depth": "16UC1", "/depth/registered_rgb": "rgb8", "/dinoiser/mask": "mono8"}
    _, notes = choose_topics([*encodings, "/other"], None, {**encodings, "/other": "rgb8"}.get)
    advised = [note.partition(" was left out")[0] for note in notes if "--topics" in note]
    assert len(notes) == 3 and advised == ["/depth/registered_rgb", "/dinoiser/mask"]
