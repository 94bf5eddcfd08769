# SPDX-License-Identifier: Apache-2.0
"""The training of a closed-set network: first with a teacher's labels, then with its own.

Its own are those of a copy that is kept when the first phase ends.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from dinoiser_ros.segmentation import Vocabulary
from dinoiser_ros.segmentation.networks.embedding_network import EmbeddingNetwork
from dinoiser_ros.training.common.run_state import (
    Checkpoint,
    Losses,
    Progress,
    check_finite,
    run_steps,
)

from .pseudo_labels import IGNORED, own_labels, pseudo_label_loss

# (B, H, W, 3) uint8 views with their labels (B, H, W) int64, see `pseudo_labels`; None for labels
# that the network shall give itself.
Batch = tuple[Tensor, Tensor | None]
LOSSES = ("loss", "labelled")


@dataclass(frozen=True)
class PlusSchedule:
    """How long and how fast. The learning rate falls as DeepLab's does (arXiv 1606.00915).

    Attributes:
        steps: with the teacher's labels.
        self_training_steps: after these, with those of the network as it is then.
        lr: at the start; falls to 0 with the power 0.9 of what is left.
        weight_decay: AdamW's.
        threshold: pixels whose label is less probable are ignored (0 to 1).
    """

    steps: int = 4000
    self_training_steps: int = 1000
    lr: float = 1e-3
    weight_decay: float = 0.01
    threshold: float = 0.5

    @property
    def total(self) -> int:
        """Steps of both phases."""
        return self.steps + self.self_training_steps

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        share: float = (1 - step / self.total) ** 0.9
        return self.lr * share


@dataclass(frozen=True)
class PlusTrainer:
    """What a step needs.

    Attributes:
        network: is trained; on its device.
        vocabulary: the classes; its embeddings are the classifier, and are not trained.
        schedule: how long and how fast.
        seed: of what is drawn at random inside the network (dropout).
        precision: what the network computes in (mixed precision, unless float32).
    """

    network: EmbeddingNetwork
    vocabulary: Vocabulary
    schedule: PlusSchedule
    seed: int = 0
    precision: torch.dtype = torch.float32

    def train(
        self,
        batches_from: Callable[[int], Iterable[Batch]],
        checkpoint: Checkpoint | None = None,
        report: Callable[[int, Losses], None] | None = None,
    ) -> list[Losses]:
        """Train, or go on where the checkpoint ends; the network is left in evaluation mode.

        Args:
            batches_from, report: as in `run_steps`.

        Returns:
            The loss and the share of labelled pixels of every step.

        Raises:
            TrainingError: the checkpoint does not belong to this run, or a loss is not a number.
        """
        optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=self.schedule.lr, weight_decay=self.schedule.weight_decay
        )
        progress = Progress(optimiser)
        pair = _Pair(self.network)
        progress.restore(checkpoint.read() if checkpoint else None, pair)
        _let_statistics_follow(self.network.train())
        update = partial(self._update, progress, pair)
        losses = run_steps(
            pair, progress, batches_from, update, self.schedule.total, checkpoint, report
        )
        self.network.eval()
        return losses

    def _update(self, progress: Progress, pair: _Pair, batch: Batch) -> Losses:
        """One step of the optimiser; returns the loss before it, and what was labelled."""
        rgb, labels = batch
        step, device = progress.step, self.network.device
        images = rgb.to(device).permute(0, 3, 1, 2).float() / 255
        mixed = self.precision != torch.float32
        autocast = partial(torch.autocast, device.type, self.precision if mixed else None, mixed)
        if step == self.schedule.steps:
            pair.keep()
        if labels is None:
            with autocast():
                labels = own_labels(pair.kept, self.vocabulary, images, self.schedule.threshold)
        labels = labels.to(device)
        with _random(self.seed, step, device), autocast():
            embeddings = self.network(images)
        loss = pseudo_label_loss(embeddings.float(), self.vocabulary, labels)
        check_finite(loss.detach(), step)
        progress.optimiser.param_groups[0]["lr"] = self.schedule.rate(step)
        progress.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        progress.optimiser.step()
        return float(loss.detach()), float((labels != IGNORED).float().mean())


def _let_statistics_follow(network: EmbeddingNetwork) -> None:
    """Average batch statistics over tens of steps, as torch does by default.

    torchvision's MobileNet averages over hundreds: a short training would be over, and its labels
    for itself wrong, before its running statistics were those of its weights.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1


class _Pair(nn.Module):
    """The network, and what it was when the first phase ended, which labels in the second.

    Labels of the network as it is now would confirm themselves: within a hundred steps all pixels
    of a run were one class.
    """

    def __init__(self, network: EmbeddingNetwork) -> None:
        super().__init__()
        self.network = network
        self.kept = copy.deepcopy(network).eval().requires_grad_(False)

    def keep(self) -> None:
        """Remember the network as it is."""
        self.kept.load_state_dict(self.network.state_dict())


@contextlib.contextmanager
def _random(seed: int, step: int, device: torch.device) -> Iterator[None]:
    """Random numbers that depend on the seed and the step alone, so that runs can be resumed."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(np.random.SeedSequence([seed, 9, step]).generate_state(1)[0]))
        yield
