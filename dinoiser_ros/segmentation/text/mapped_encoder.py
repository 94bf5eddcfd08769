# SPDX-License-Identifier: Apache-2.0
"""Text embeddings in another network's space: Talk2DINO's (arXiv 2411.19331)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cached_property

import torch.nn.functional as F
from torch import Tensor, nn

from dinoiser_ros.segmentation.networks.open_clip_types import ClipModel, Tokenizer

from .cache import TextCache
from .encoder import TextEncoder
from .identity import weights_digest
from .stored_tower import StoredText
from .templates import TEMPLATES

# The seven that the authors evaluate with, by their places among CLIP's eighty.
_CHOSEN = (73, 0, 44, 69, 35, 67, 64)


class MappedTextEncoder(TextEncoder):
    """As `TextEncoder`: the mean of seven templates' embeddings, mapped, and normalised at the end.

    Args:
        clip, tokenizer, cache, stored: see `TextEncoder`.
        mapping: from CLIP's space to the other.
    """

    templates: tuple[Callable[[str], str], ...] = tuple(TEMPLATES[place] for place in _CHOSEN)

    def __init__(
        self,
        clip: ClipModel,
        tokenizer: Tokenizer,
        cache: TextCache | None,
        stored: StoredText | None,
        mapping: nn.Module,
    ) -> None:
        super().__init__(clip, tokenizer, cache, stored)
        self._mapping = mapping

    def _average(self, encoded: Tensor) -> Tensor:
        mapped: Tensor = self._mapping(encoded.mean(dim=0))
        return F.normalize(mapped, dim=0)

    @cached_property
    def _identity(self) -> str:
        state = self._mapping.state_dict()
        parts = (super()._identity, weights_digest(state, state), _CHOSEN)
        return hashlib.sha256(repr(parts).encode()).hexdigest()
