# SPDX-License-Identifier: Apache-2.0
"""Names: from class names and camera topics to valid, distinct ROS topic names. Pure functions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

MAX_TOKEN_LENGTH = 64  # characters; ROS allows 247 for a whole topic name, namespaces included

# What image_transport appends to a camera's topic for its encodings.
_TRANSPORTS = ("compressed", "compressedDepth", "theora", "ffmpeg", "zstd")


def class_topic_names(class_names: Sequence[str], class_ids: Sequence[int]) -> list[str]:
    """One topic name token for each class: valid, distinct, and the same for the same classes.

    "traffic cone" becomes `traffic_cone`. What has no Latin letter or digit becomes `class_<id>`,
    and a name that a class with a lower id has already gets its id appended.

    Args:
        class_names: any texts.
        class_ids: the id of each class, all different; the order of the classes does not matter.

    Returns:
        Tokens of lower-case letters, digits and single underscores that start with a letter.
    """
    names: dict[int, str] = {}
    taken: set[str] = set()
    for class_id, class_name in sorted(zip(class_ids, class_names, strict=True)):
        name = topic_token(class_name) or f"class_{class_id}"
        while name in taken:
            name = f"{name}_{class_id}"
        taken.add(name)
        names[class_id] = name
    return [names[class_id] for class_id in class_ids]


def topic_token(text: str) -> str:
    """The nearest valid topic name token to a text, "" if it has no Latin letter or digit."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    token = re.sub(r"[^a-z0-9]+", "_", ascii_text.lower())[:MAX_TOKEN_LENGTH].strip("_")
    return f"class_{token}" if token[:1].isdigit() else token


def output_namespaces(image_topics: Sequence[str], node_name: str) -> list[str]:
    """Where each camera's outputs live.

    One camera: the node's own namespace, "~". Several: below the camera's namespace, e.g.
    `/front/image_raw` gives `/front/dinoiser`. Where two cameras share a namespace, each image
    topic counts as a namespace of its own: `/stereo/left` gives `/stereo/left/dinoiser`.

    Args:
        image_topics: fully qualified topic names, each at most once.
        node_name: the node's name without namespace.
    """
    if len(image_topics) == 1:
        return ["~"]
    bases = [_without_transport(topic) for topic in image_topics]
    parents = [base.rpartition("/")[0] for base in bases]
    namespaces = [
        parent if parent and parents.count(parent) == 1 else base
        for base, parent in zip(bases, parents, strict=True)
    ]
    if len(set(namespaces)) < len(namespaces):  # raw and compressed topic of one camera
        namespaces = list(image_topics)
    return [f"{namespace}/{node_name}" for namespace in namespaces]


def is_compressed_topic(topic: str) -> bool:
    """Whether image_transport's naming says that a topic carries sensor_msgs/CompressedImage."""
    return topic.endswith("/compressed")


def _without_transport(topic: str) -> str:
    base, _, last = topic.rpartition("/")
    return base if base and last in _TRANSPORTS else topic
