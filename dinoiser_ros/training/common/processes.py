# SPDX-License-Identifier: Apache-2.0
"""One training run in several processes, one for each GPU, as torchrun starts them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from dinoiser_ros.errors import TrainingError

Shared = TypeVar("Shared")


@dataclass(frozen=True)
class Team:
    """The processes of this run; by default there is only this one.

    Attributes:
        rank, size: which of how many processes this one is.
        device: where this one computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and talks."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over all processes, in one exchange."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.size
        parts = flat.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def share(self, value: Shared) -> Shared:
        """What the main process passed, in every process."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, device=self.device)
        return values[0]


def is_one_of_several() -> bool:
    """Whether torchrun started this process together with others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextlib.contextmanager
def team(device: torch.device) -> Iterator[Team]:
    """Join the other processes, if torchrun started any, and leave them at the end.

    Args:
        device: where a single process computes; of several on GPUs each takes its own.

    Raises:
        TrainingError: there are fewer GPUs than processes.
    """
    if not is_one_of_several():
        yield Team(device=device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        if device.index >= torch.cuda.device_count():
            raise TrainingError(
                f"There are more processes than GPUs: run torchrun with --nproc-per-node "
                f"{torch.cuda.device_count()}."
            )
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Team(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()
