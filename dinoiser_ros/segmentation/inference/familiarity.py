# SPDX-License-Identifier: Apache-2.0
"""Whether images are of the world that a small model was made in, by its own features.

A small model labels anything, and is as sure of a photograph as of its own world. But the features
that it computes for a photograph are not the usual ones. A linear test of their means over the
image tells the two apart (a linear probe, arXiv 1610.01644). It takes no pass of its own, and no
label depends on it. `training.familiarity` makes the test.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dinoiser_ros.segmentation.methods.inputs import Parts
from dinoiser_ros.segmentation.weights.checkpoint import reading

MOST = 64  # images of a batch that are looked at


@dataclass(frozen=True)
class FamiliarityTest:
    """A linear test of an image's mean features.

    Attributes:
        direction: (D,) float32, by channel.
        offset: () float32. Images with `means @ direction + offset` above 0 are of another world.
    """

    direction: Tensor
    offset: Tensor

    def score(self, means: Tensor) -> Tensor:
        """(B, D) -> (B,) float32."""
        return means.float() @ self.direction + self.offset

    def to(self, device: torch.device) -> FamiliarityTest:
        """The same on a device."""
        return FamiliarityTest(self.direction.to(device), self.offset.to(device))

    def save(self, path: Path) -> None:
        """Write it as safetensors."""
        save_file({"direction": self.direction.contiguous(), "offset": self.offset}, path)


def load_familiarity_test(path: Path) -> FamiliarityTest:
    """Read what `FamiliarityTest.save` wrote.

    Raises:
        WeightsError: the file cannot be read.
    """
    with reading(path):
        stored = load_file(path)
        return FamiliarityTest(stored["direction"], stored["offset"])


class FamiliarityWatch:
    """Judges the features of every batch as they are computed; the host reads no value meanwhile.

    Args:
        test: on the networks' device.
    """

    def __init__(self, test: FamiliarityTest) -> None:
        self._test = test
        # In one place for good, so that a CUDA graph writes it, too.
        self._scores = torch.zeros(MOST, device=test.direction.device)

    def __call__(self, means: Tensor) -> None:
        """Note the scores of a batch: (B, D), see `FamiliarityTest`."""
        # An exported graph is the method alone.
        if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call, unused-ignore]
            return
        scores = self._test.score(means[:MOST])
        self._scores[: len(scores)].copy_(scores)

    def familiar(self, batch: int) -> list[bool]:
        """Whether each image of the last batch, of this many, is of the model's world."""
        known: list[bool] = (self._scores[:batch] <= 0).tolist()
        return known + [True] * (batch - len(known))


def watch_features(parts: Parts, path: Path) -> FamiliarityWatch:
    """Have a segmenter's features judged by the test in a file.

    Args:
        parts: the networks; the one that every image goes through is watched.
        path: see `load_familiarity_test`.

    Raises:
        WeightsError: the file cannot be read.
    """
    watch = FamiliarityWatch(load_familiarity_test(path).to(parts.main.device))
    parts.main.watch = watch
    return watch
