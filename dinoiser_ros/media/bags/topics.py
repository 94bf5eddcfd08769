# SPDX-License-Identifier: Apache-2.0
"""Which topics of a bag are cameras, and what the topics of their results are called."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from dinoiser_ros.errors import MediaError
from dinoiser_ros.messages.decode import is_depth
from dinoiser_ros.messages.topic_names import output_namespaces

NODE = "dinoiser"  # the node's name; its single camera's results are /dinoiser/mask and so on
OUTPUT_NAMES = {"labels": "mask", "confidence": "confidence", "overlay": "overlay"}
_OWN = re.compile(rf"(.*/)?{NODE}/(mask|confidence|overlay|masks/.+)")
_DEPTH = re.compile(r"depth|disparity", re.IGNORECASE)


def choose_topics(
    topics: Sequence[str], wanted: Sequence[str] | None, encoding: Callable[[str], str]
) -> tuple[list[str], list[str]]:
    """The image topics to segment.

    Args:
        topics: all image topics of the bag that have a message.
        wanted: those asked for; None for all but depth and what this package published.
        encoding: gives the encoding or format of a topic's first image, "" if there is none.

    Returns:
        The topics, in the order asked for or else of the bag; a sentence on each one left out.

    Raises:
        MediaError: a topic asked for is not there, or none is left.
    """
    has = f"it has {', '.join(topics)}" if topics else "it has none"
    if wanted is not None:
        by_name = {full_name(topic): topic for topic in topics}
        missing = [topic for topic in wanted if full_name(topic) not in by_name]
        if missing:
            raise MediaError(f"the bag has no images on {', '.join(missing)}: {has}.")
        return list(dict.fromkeys(by_name[full_name(topic)] for topic in wanted)), []
    reasons = {topic: _reason_to_skip(topic, encoding) for topic in topics}
    chosen = [topic for topic, reason in reasons.items() if not reason]
    notes = [f"{topic} was left out, {reason}" for topic, reason in reasons.items() if reason]
    if not chosen:
        raise MediaError(f"no topic of the bag shows camera images: {has}; choose with --topics.")
    return chosen, notes


def _reason_to_skip(topic: str, encoding: Callable[[str], str]) -> str:
    if _OWN.fullmatch(topic):
        return f"it is the result of a segmentation; --topics {topic} segments it"
    name = encoding(topic)
    if is_depth(name):
        return f"it is depth ({name}), which is no picture"
    if _DEPTH.search(topic) or _DEPTH.search(name):
        looks = f"it looks like depth ({name})" if name else "it looks like depth"
        return f"{looks}; --topics {topic} segments it"
    return ""


def full_name(topic: str) -> str:
    """A topic's name from the root on; bags of ROS 1 may have it without."""
    return topic if topic.startswith("/") else f"/{topic}"


def namespaces(topics: Sequence[str]) -> list[str]:
    """Where the results of each image topic live: where the node, called dinoiser, has them."""
    found = output_namespaces([full_name(topic) for topic in topics], NODE)
    return [f"/{NODE}" if namespace == "~" else namespace for namespace in found]
