# SPDX-License-Identifier: Apache-2.0
"""The page on carried and smoothed masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dinoiser_ros.evaluation.reports.report import percent
from dinoiser_ros.utils.markdown import table

from .drives import EVERY, RATE
from .flicker import Flicker
from .replay import Counts, Schedule

PARTS = ("all", "straight", "turning", "seen")


@dataclass(frozen=True)
class Findings:
    """What was measured.

    Attributes:
        seeds: of the drives.
        seconds: length of each.
        carried: by (whose masks, when the network got pictures).
        smoothing: by (kind of pictures, whether masks are fused).
    """

    seeds: Sequence[int]
    seconds: float
    carried: Mapping[tuple[str, Schedule], Counts]
    smoothing: Mapping[tuple[str, bool], Flicker]

    @property
    def cpu_follow(self) -> float:
        """Seconds of processor time for following one picture."""
        counts = list(self.carried.values())
        return sum(c.cpu for c in counts) / max(1, sum(c.followed for c in counts))

    @property
    def cpu_carry(self) -> float:
        """Seconds of processor time for carrying one mask."""
        counts = list(self.carried.values())
        return sum(c.cpu_carry for c in counts) / max(1, sum(c.carried for c in counts))


def markdown(findings: Findings) -> str:
    """The tables with what they mean."""
    return (
        f"Measured with `make motion`: {_drives(findings)} of {findings.seconds:g} s each "
        "through simulated worlds at 0.5 m/s, turning by 0.5 rad/s; camera "
        f"{RATE:g} Hz at 640x480, {RATE / EVERY:g} masks a second compared with the truth. The "
        "constants were chosen on other drives.\n\n"
        f"{table(_CARRIED_HEADER, _carried_rows(findings))}\n"
        "*Delay*: the time from a whole image to its mask, of which there is one a second. "
        "*Window*: the share of the image's longer side that the network got at a time "
        "(`inference_window`), or half of it where that was enough; one window after the other, "
        "each in its share of the delay. "
        "*Every image*: inferred as a whole and at once; *loss*: what *carried* lacks of it, in "
        "all and by parts of the drives. *Seen*: surfaces that the camera saw in the image that "
        "was inferred. *Truth*: the network is never wrong; *demo*: the embedded model.\n\n"
        f"{table(_SMOOTH_HEADER, _smooth_rows(findings))}\n"
        "Inferred for each compared image by the model *demo*. *Flicker*: pixels that show the "
        "same as in the mask before, by the true motion, and changed their label. *Noise*: "
        "severity 3 of `make robustness`.\n\n"
        f"Processor time: {1e3 * findings.cpu_follow:.1f} ms for each image that is followed, "
        f"{1e3 * findings.cpu_carry:.1f} ms for each carried mask, "
        f"{1e3 * _smooth_cpu(findings):.1f} ms for each fused one, its image included.\n"
    )


_CARRIED_HEADER = [
    "masks", "delay, s", "window", "temporal", "every image", "stale", "carried", "loss",
    "straight", "turning", "seen",
]  # fmt: skip
_SMOOTH_HEADER = ["images", "temporal", "flicker, %", "mIoU, %"]


def _drives(findings: Findings) -> str:
    number = len(findings.seeds)
    return f"{number} drive{'' if number == 1 else 's'}"


def _carried_rows(findings: Findings) -> list[list[str]]:
    return [
        [
            source,
            f"{schedule.latency:g}",
            f"{schedule.share:g}",
            "smooth" if schedule.smooth else "off",
            *(_percent(counts, kind, "all") for kind in ("every frame", "stale", "carried")),
            *(_loss(counts, part) for part in PARTS),
        ]
        for (source, schedule), counts in findings.carried.items()
    ]


def _percent(counts: Counts, kind: str, part: str) -> str:
    return percent(counts.mean_iou(kind, part)) if (kind, part) in counts.matrices else ""


def _loss(counts: Counts, part: str) -> str:
    if ("carried", part) not in counts.matrices:
        return ""
    return percent(counts.mean_iou("every frame", part) - counts.mean_iou("carried", part))


def _smooth_rows(findings: Findings) -> list[list[str]]:
    return [
        [name, "smooth" if smooth else "off", f"{100 * found.share:.2f}", percent(found.mean_iou)]
        for (name, smooth), found in findings.smoothing.items()
    ]


def _smooth_cpu(findings: Findings) -> float:
    fused = [found for (_, smooth), found in findings.smoothing.items() if smooth]
    return sum(found.cpu for found in fused) / max(1, sum(found.masks for found in fused))
