"""Text embeddings of phrases: CLIP's 80 ImageNet templates, batched and remembered."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from open_clip import OPENAI_IMAGENET_TEMPLATES as TEMPLATES
from torch import Tensor, nn

from .errors import PromptError
from .vocabulary import Vocabulary, parse_prompts, shorten

_TEXTS_PER_BATCH = 160
_MAX_REMEMBERED = 4096  # phrases; 512 floats each


class TextEncoder:
    """Embeds phrases with the text tower of an OpenCLIP model.

    Args:
        clip: an OpenCLIP model in evaluation mode; used through its public `encode_text`, which has
            the same meaning in every open_clip version.
        tokenizer: open_clip's tokenizer for this model.
    """

    def __init__(self, clip: nn.Module, tokenizer: object) -> None:
        self._clip = clip
        self._tokenizer = tokenizer
        self._embeddings: OrderedDict[str, Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, prompts: Sequence[str]) -> None:
        """Raise PromptError for prompts that no model could use; takes no time."""
        parse_prompts(prompts)

    def vocabulary(self, prompts: Sequence[str]) -> Vocabulary:
        """Parse prompts and embed their phrases.

        Raises:
            PromptError: see `parse_prompts`; or a phrase is longer than the model's context.
        """
        cleaned, classes = parse_prompts(prompts)
        phrases = [phrase for entry in classes for phrase in entry.phrases]
        embeddings = self.embed(phrases)
        owners = [entry.id for entry in classes for _ in entry.phrases]
        owner_tensor = torch.tensor(owners, device=embeddings.device)
        return Vocabulary(cleaned, classes, embeddings, owner_tensor)

    @torch.no_grad()
    def embed(self, phrases: Sequence[str]) -> Tensor:
        """Average the embeddings of a phrase over the 80 templates of CLIP (arXiv 2103.00020,
        3.1.4).

        Args:
            phrases: P texts.

        Returns:
            (P, d) float32 unit vectors; those of phrases seen before are not computed again.

        Raises:
            PromptError: a phrase does not fit the context of the text tower.
        """
        with self._lock:
            known = {p: self._embeddings[p] for p in phrases if p in self._embeddings}
        new = [phrase for phrase in dict.fromkeys(phrases) if phrase not in known]
        if new:
            known.update(zip(new, self._compute(new), strict=True))
        self._remember(known)
        return torch.stack([known[phrase] for phrase in phrases])

    def _compute(self, phrases: list[str]) -> Tensor:
        """(P, d): embeddings of phrases that are not remembered."""
        tokens = torch.cat([self._tokenize(phrase) for phrase in phrases])
        device = self._clip.token_embedding.weight.device
        batches = tokens.to(device).split(_TEXTS_PER_BATCH)
        encoded = torch.cat([self._clip.encode_text(batch).float() for batch in batches])
        unit = F.normalize(encoded, dim=-1).unflatten(0, (len(phrases), len(TEMPLATES)))
        return F.normalize(unit.mean(dim=1), dim=-1)

    def _tokenize(self, phrase: str) -> Tensor:
        """(80, context) token ids of a phrase in all templates."""
        texts = [template(phrase) for template in TEMPLATES]
        room = self._tokenizer.context_length - 2  # start and end of text
        longest = max(len(self._tokenizer.encode(text)) for text in texts)
        if longest > room:
            raise PromptError(
                f"The phrase {shorten(phrase)!r} is {longest - room} tokens too long for this "
                "model: shorten it."
            )
        return self._tokenizer(texts)

    def _remember(self, embeddings: dict[str, Tensor]) -> None:
        with self._lock:
            for phrase, embedding in embeddings.items():
                self._embeddings[phrase] = embedding
                self._embeddings.move_to_end(phrase)
            while len(self._embeddings) > _MAX_REMEMBERED:
                self._embeddings.popitem(last=False)
