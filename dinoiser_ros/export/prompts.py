# SPDX-License-Identifier: Apache-2.0
"""Prompts as the arrays that an exported model takes."""

from __future__ import annotations

import numpy as np
import torch

from dinoiser_ros.segmentation import Vocabulary


def prompt_arrays(vocabulary: Vocabulary) -> dict[str, np.ndarray]:
    """The inputs of an exported model that say what to look for.

    Args:
        vocabulary: K classes, from `Segmenter.embed_prompts` of the model that was exported.

    Returns:
        "texts" (K, S, d) float32, S the most phrases of a class; those with fewer repeat their
        first, which changes no score. "background" (K,) float32, 1 for the class "background", 0
        for others. "names" (K,), what the ids are called.
    """
    most = max(len(entry.phrases) for entry in vocabulary.classes)
    rows, start = [], 0
    for entry in vocabulary.classes:
        own = list(range(start, start + len(entry.phrases)))
        rows.append(own + own[:1] * (most - len(own)))
        start += len(own)
    texts = vocabulary.embeddings.cpu()[torch.tensor(rows)]
    background = np.zeros(len(rows), np.float32)
    if vocabulary.background is not None:
        background[vocabulary.background] = 1.0
    names = np.array([entry.name for entry in vocabulary.classes])
    return {"texts": texts.numpy(), "background": background, "names": names}
