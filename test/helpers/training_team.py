# SPDX-License-Identifier: Apache-2.0
"""One of two processes that train heads together; `training/heads/test_trainer.py` starts it.

It breaks off in the middle and goes on from the checkpoint that only the main process has.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from head_batches import SCHEDULE, batch, new_heads

from dinoiser_ros.training.common.processes import team
from dinoiser_ros.training.common.run_state import Checkpoint
from dinoiser_ros.training.heads.trainer import train_heads


def main(folder: Path) -> None:
    """Train in a team and write what this process has in the end."""
    with team(torch.device("cpu")) as members:
        checkpoint = Checkpoint(folder / f"{members.rank}.checkpoint", {}, every=0)

        def part(until: int) -> tuple[torch.nn.Module, list]:
            def batches_from(first: int) -> list:
                return [batch(step, members.rank, members.size) for step in range(first, until)]

            heads = new_heads()
            return heads, train_heads(heads, batches_from, SCHEDULE, checkpoint, members)

        part(3)
        heads, losses = part(SCHEDULE.steps)
    state = {"heads": list(heads.state_dict().values()), "losses": losses}
    torch.save(state, folder / f"{members.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
