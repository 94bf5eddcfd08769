# SPDX-License-Identifier: Apache-2.0
"""Rows of the text matrix for phrases that name taught examples, beside those of texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dinoiser_ros.segmentation.examples.calibration import LEAST_TEXTS, taught_embedding
from dinoiser_ros.segmentation.examples.example_set import ExampleSet, is_taught

from .vocabulary import SegmentationClass

# Beside few prompts, the levels of text scores are measured with these, too.
ANCHORS = ("floor", "wall", "ceiling", "person", "chair", "table", "door", "plant")


def check_taught(classes: Sequence[SegmentationClass], examples: ExampleSet) -> None:
    """Raise PromptError for a phrase such as "@tote" under which nothing was taught."""
    for entry in classes:
        for phrase in filter(is_taught, entry.phrases):
            examples.find(phrase)


def class_embeddings(
    classes: Sequence[SegmentationClass],
    examples: ExampleSet,
    embed: Callable[[Sequence[str]], Tensor],
    anchors: Callable[[], Tensor],
) -> Tensor:
    """The rows of all phrases, in the order of the classes.

    Args:
        classes: with P phrases, each of which `check_taught` accepts.
        examples: what phrases that begin with @ mean.
        embed: from N texts, at least one, to (N, d) unit vectors.
        anchors: gives (T, d) of texts that are measured with where the prompts have few.

    Returns:
        (P, d) float32.
    """
    phrases = [(entry.id, phrase) for entry in classes for phrase in entry.phrases]
    texts = [(owner, phrase) for owner, phrase in phrases if not is_taught(phrase)]
    embedded = embed([phrase for _, phrase in texts]) if texts else None
    if len(texts) == len(phrases) and embedded is not None:
        return embedded
    rows = [] if embedded is None else list(embedded)
    owners = [owner for owner, _ in texts]
    given = iter(rows)
    result = []
    for owner, phrase in phrases:
        if not is_taught(phrase):
            result.append(next(given))
            continue
        others = [row for other, row in zip(owners, rows, strict=True) if other != owner]
        if len(others) < LEAST_TEXTS:
            others += list(anchors())
        result.append(taught_embedding(examples.find(phrase), torch.stack(others)))
    return torch.stack(result)
