# SPDX-License-Identifier: Apache-2.0
"""/diagnostics: what the node is doing, in words and levels that a fleet's dashboard can show."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

if TYPE_CHECKING:
    from builtin_interfaces.msg import Time

    from dinoiser_ros.segmentation import Segmenter

    from .statistics import CameraStatistics, Totals, Window

MIN_IMAGES = 10  # in the window, before a share of them means something


@dataclass(frozen=True)
class NodeReport:
    """The node as a whole.

    Attributes:
        name: fully qualified node name.
        state: label of the lifecycle state.
        last_error: the last thing that went wrong, "" for nothing.
        failed: whether the last transition failed.
        details: further values to show, such as the model and the device.
    """

    name: str
    state: str
    last_error: str
    failed: bool
    details: Mapping[str, Any]


def diagnostics_message(
    stamp: Time,
    node: NodeReport,
    cameras: Sequence[tuple[str, CameraStatistics]],
    settings: Mapping[str, Any],
    now: float,
) -> DiagnosticArray:
    """One status for the node and one for each camera.

    Args:
        cameras: topic and counters of each.
        settings: parameters "warn_latency", "warn_drop_ratio" and "stalled_after".
        now: monotonic seconds.
    """
    message = DiagnosticArray()
    message.header.stamp = stamp
    message.status = [_node_status(node)]
    for topic, statistics in cameras:
        message.status.append(_camera_status(node, topic, statistics, settings, now))
    return message


def segmenter_details(segmenter: Segmenter) -> dict[str, object]:
    """What /diagnostics show of a segmenter."""
    return {
        "model": segmenter.model_name,
        "method": segmenter.method,
        "device": str(segmenter.device),
        "precision": segmenter.precision,
        "engine": segmenter.engine,
        "engine_problem": segmenter.engine_problem or "",
        "classes": len(segmenter.classes),
        "examples": sum(segmenter.examples.counts.values()),
    }


def memory_mb() -> float:
    """Resident memory of this process in MB, NaN where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
    except (OSError, ValueError, IndexError):
        return math.nan
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def device_memory_mb() -> float:
    """GPU memory that PyTorch holds in MB, 0 without a GPU in use."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)  # None while torch is still being imported
    if cuda is None or not hasattr(cuda, "is_initialized") or not cuda.is_initialized():
        return 0.0
    return float(cuda.memory_reserved()) / 1e6


def _node_status(node: NodeReport) -> DiagnosticStatus:
    level, text = DiagnosticStatus.OK, node.state
    if node.failed:
        level, text = DiagnosticStatus.ERROR, f"{node.state}: {node.last_error}"
    details = {
        "state": node.state,
        **node.details,
        "memory_mb": memory_mb(),
        "device_memory_mb": device_memory_mb(),
        "last_error": node.last_error,
    }
    return _status(node.name, "node", level, text, details)


def _camera_status(
    node: NodeReport,
    topic: str,
    statistics: CameraStatistics,
    settings: Mapping[str, Any],
    now: float,
) -> DiagnosticStatus:
    totals, window = statistics.totals(), statistics.window(now)
    level, text = DiagnosticStatus.OK, node.state
    if node.state == "active":
        level, text = _judge(topic, statistics, window, settings, now)
    return _status(node.name, topic, level, text, _camera_details(totals, window))


def _judge(
    topic: str,
    statistics: CameraStatistics,
    window: Window,
    settings: Mapping[str, Any],
    now: float,
) -> tuple[bytes, str]:
    """Level and sentence for a camera of an active node, the worst thing first."""
    patience = settings["stalled_after"]
    if now - max(statistics.last_received, statistics.started) > patience:
        return DiagnosticStatus.STALE, f"no image arrives on {topic}: is the camera running?"
    waiting = statistics.last_wanted > statistics.last_published
    if waiting and now - statistics.last_wanted > patience:
        since = now - statistics.last_wanted
        return (
            DiagnosticStatus.ERROR,
            f"images arrive but nothing was published for {since:.0f} s: see last_error",
        )
    if statistics.notice:
        return DiagnosticStatus.WARN, statistics.notice
    if window.latency_p95 > settings["warn_latency"]:
        return (
            DiagnosticStatus.WARN,
            f"masks are late (p95 {window.latency_p95:.2f} s): reduce inference_size",
        )
    many = window.rate_in > 0 and window.drop_ratio > settings["warn_drop_ratio"]
    if many and statistics.totals().received >= MIN_IMAGES:
        return (
            DiagnosticStatus.WARN,
            f"{window.drop_ratio:.0%} of the images are dropped for newer ones",
        )
    if window.bad:
        return DiagnosticStatus.WARN, f"{window.bad} bad images lately: see the log"
    if window.without_depth:
        return DiagnosticStatus.WARN, f"{window.without_depth} images lately had no depth"
    if waiting or now - statistics.last_published < patience:
        return DiagnosticStatus.OK, "segmenting"
    return DiagnosticStatus.OK, "idle: nobody subscribes to a result"


def _camera_details(totals: Totals, window: Window) -> dict[str, Any]:
    return {
        "rate_in_hz": window.rate_in,
        "rate_out_hz": window.rate_out,
        "latency_median_ms": window.latency_median * 1e3,
        "latency_p95_ms": window.latency_p95 * 1e3,
        "inference_median_ms": window.inference_median * 1e3,
        "inference_p95_ms": window.inference_p95 * 1e3,
        "conversion_median_ms": window.conversion_median * 1e3,
        "conversion_p95_ms": window.conversion_p95 * 1e3,
        "overhead_median_ms": window.overhead_median * 1e3,
        "overhead_p95_ms": window.overhead_p95 * 1e3,
        "carry_median_ms": window.carry_median * 1e3,
        "carry_p95_ms": window.carry_p95 * 1e3,
        "points_median_ms": window.points_median * 1e3,
        "points_p95_ms": window.points_p95 * 1e3,
        "objects_median_ms": window.objects_median * 1e3,
        "objects_p95_ms": window.objects_p95 * 1e3,
        "drop_ratio": window.drop_ratio,
        "received": totals.received,
        "published": totals.published,
        "inferred": totals.inferred,
        "carried": totals.carried,
        "dropped": totals.dropped,
        "not_wanted": totals.idle,
        "points_published": totals.points,
        "objects_published": totals.objects,
        "without_depth": totals.without_depth,
        "bad": sum(totals.bad.values()),
        **{f"bad_{kind}": count for kind, count in sorted(totals.bad.items())},
    }


def _status(
    node_name: str, part: str, level: bytes, text: str, details: Mapping[str, Any]
) -> DiagnosticStatus:
    values = [KeyValue(key=key, value=_shown(value)) for key, value in details.items()]
    name = node_name.lstrip("/")
    return DiagnosticStatus(
        level=level, name=f"{name}: {part}", message=text, hardware_id=name, values=values
    )


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.3f}"
    return str(value)
