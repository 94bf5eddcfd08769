# SPDX-License-Identifier: Apache-2.0
"""Text embeddings of phrases: CLIP's 80 ImageNet templates, batched and remembered."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from dinoiser_ros.errors import PromptError, WeightsError
from dinoiser_ros.segmentation.examples.example_set import ExampleSet
from dinoiser_ros.segmentation.networks.open_clip_types import ClipModel, Tokenizer
from dinoiser_ros.utils.texts import shorten

from .cache import TextCache
from .identity import text_identity, text_names, weights_digest
from .stored_tower import StoredText
from .taught_phrases import ANCHORS, check_taught, class_embeddings
from .templates import TEMPLATES
from .tower import TextTower
from .vocabulary import Vocabulary, parse_prompts

_MAX_REMEMBERED = 4096  # phrases; 512 floats each
_TRIAL = 8  # phrases by which the time of the others is estimated
MAX_TIME = 600.0  # seconds that the phrases of one list of prompts may take


class TextEncoder:
    """Embeds phrases with the text tower of an OpenCLIP model.

    Args:
        clip: an OpenCLIP model in evaluation mode.
        tokenizer: open_clip's tokenizer for this model.
        cache: where embeddings are kept for other processes; None: nowhere.
        stored: what the model's text tower is filled from when it is first needed; None if it is
            complete.

    Attributes:
        examples: what phrases that begin with @ mean; may be replaced as a whole.
        templates: what each phrase is inserted into.
    """

    templates: tuple[Callable[[str], str], ...] = tuple(TEMPLATES)

    def __init__(
        self,
        clip: ClipModel,
        tokenizer: Tokenizer,
        cache: TextCache | None = None,
        stored: StoredText | None = None,
    ) -> None:
        self.examples = ExampleSet()
        self._clip = clip
        self._tower = TextTower(clip, _beginnings(tokenizer))
        self._tokenizer = tokenizer
        self._cache = cache
        self._stored = stored
        self._embeddings: OrderedDict[str, Tensor] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def cache_problem(self) -> str | None:
        """Why embeddings could not be kept on disk, in one sentence; None if nothing is wrong."""
        return self._cache.problem if self._cache is not None else None

    def check(self, prompts: Sequence[str]) -> None:
        """Raise PromptError for prompts that no model could use; takes no time."""
        check_taught(parse_prompts(prompts)[1], self.examples)

    def vocabulary(self, prompts: Sequence[str]) -> Vocabulary:
        """Parse prompts and embed their phrases.

        Raises:
            PromptError: see `parse_prompts`; or a phrase is longer than the model's context.
        """
        cleaned, classes = parse_prompts(prompts)
        examples = self.examples
        check_taught(classes, examples)
        embeddings = class_embeddings(classes, examples, self.embed, lambda: self.embed(ANCHORS))
        owners = [entry.id for entry in classes for _ in entry.phrases]
        owner_tensor = torch.tensor(owners, device=embeddings.device)
        return Vocabulary(cleaned, classes, embeddings, owner_tensor)

    def embed(self, phrases: Sequence[str]) -> Tensor:
        """Average each phrase's embeddings over CLIP's 80 templates (arXiv 2103.00020, 3.1.4).

        Args:
            phrases: P texts.

        Returns:
            (P, d) float32 unit vectors; those of phrases seen before, by this process or an
            earlier one, are not computed again.

        Raises:
            PromptError: a phrase does not fit the context of the text tower, or the tower is
                needed and cannot be read from its file any more.
        """
        with self._lock:
            known = {p: self._embeddings[p] for p in phrases if p in self._embeddings}
        new = [phrase for phrase in dict.fromkeys(phrases) if phrase not in known]
        if new:
            try:
                known.update(self._embed_new(new))
            except WeightsError as error:
                raise PromptError(f"Prompts cannot be embedded: {error}") from error
        self._remember(known)
        return torch.stack([known[phrase] for phrase in phrases])

    def _embed_new(self, phrases: list[str]) -> dict[str, Tensor]:
        """(d,) for each phrase, from the disk or the text tower."""
        known = self._from_disk(phrases)
        computed = self._compute([phrase for phrase in phrases if phrase not in known])
        self._to_disk(computed)
        return known | computed

    def _compute(self, phrases: list[str]) -> dict[str, Tensor]:
        """(d,) for each phrase; each by itself, so that it does not depend on its company."""
        for phrase in phrases:  # all are checked first; their tokens would take 50 kB each
            self._check_length(phrase)
        if self._stored is not None and phrases:
            self._stored.fill()
        computed: dict[str, Tensor] = {}
        start = time.monotonic()
        for phrase in phrases:
            tokens = self._tokenizer([template(phrase) for template in self.templates])
            computed[phrase] = self._average(self._tower(tokens))
            if not _is_direction(computed[phrase]):
                raise WeightsError(
                    f"the text tower's output for {shorten(phrase)!r} is not finite or zero: check "
                    "the weights."
                )
            if len(computed) == _TRIAL:
                _check_time((time.monotonic() - start) / _TRIAL, len(phrases))
        return computed

    def _average(self, encoded: Tensor) -> Tensor:
        """(T, d) -> (d,): the direction of the mean of the texts' directions."""
        return F.normalize(F.normalize(encoded, dim=-1).mean(dim=0), dim=0)

    @cached_property
    def _identity(self) -> str:
        if self._stored is not None and self._cache is not None:
            digest = self._stored.digest(self._cache.folder)
        else:
            state = self._clip.state_dict()
            digest = weights_digest(state, text_names(state))
        return text_identity(self._clip, self._tokenizer, digest)

    def _key(self, phrase: str) -> str:
        return f"{self._identity} {phrase}"

    def _from_disk(self, phrases: list[str]) -> dict[str, Tensor]:
        if self._cache is None:
            return {}
        keys = {self._key(phrase): phrase for phrase in phrases}
        found = self._cache.load(list(keys))
        device = self._tower.device
        return {keys[key]: v.to(device) for key, v in found.items() if _is_direction(v)}

    def _to_disk(self, embeddings: dict[str, Tensor]) -> None:
        if self._cache is not None and embeddings:
            self._cache.store({self._key(p): vector for p, vector in embeddings.items()})

    def _check_length(self, phrase: str) -> None:
        """Raise PromptError for a phrase that does not fit the context in all templates."""
        texts = [template(phrase) for template in self.templates]
        room = self._tokenizer.context_length - 2  # start and end of text
        longest = max(len(self._tokenizer.encode(text)) for text in texts)
        if longest > room:
            raise PromptError(
                f"The phrase {shorten(phrase)!r} is {longest - room} tokens too long for this "
                "model: shorten it."
            )

    def _remember(self, embeddings: dict[str, Tensor]) -> None:
        with self._lock:
            for phrase, embedding in embeddings.items():
                self._embeddings[phrase] = embedding
                self._embeddings.move_to_end(phrase)
            while len(self._embeddings) > _MAX_REMEMBERED:
                self._embeddings.popitem(last=False)


def _is_direction(embedding: Tensor) -> bool:
    """Whether it is a unit vector (d,), up to rounding; NaN is none."""
    return abs(float(embedding.norm()) - 1.0) < 1e-3


def _check_time(each: float, phrases: int) -> None:
    """Refuse a list whose phrases take too long, after the first of them.

    Args:
        each: seconds for a phrase.
        phrases: how many were never embedded before.

    Raises:
        PromptError: says what the list takes and how many phrases would be possible.
    """
    if each * phrases > MAX_TIME:
        raise PromptError(
            f"Embedding {phrases} new phrases takes about {each * phrases / 60:.0f} minutes on "
            f"this device ({each:.2f} s each): give at most {int(MAX_TIME / each)} new ones at a "
            "time; phrases that were embedded before cost nothing."
        )


def _beginnings(tokenizer: Tokenizer) -> list[list[int]]:
    """The token ids that each template has in front of its phrase, whatever that is."""
    one, other = (tokenizer([t(phrase) for t in TEMPLATES]) for phrase in ("floor", "wall"))
    same = (one == other).long().cumprod(dim=1).sum(dim=1)
    return [row[:length].tolist() for row, length in zip(one, same.tolist(), strict=True)]
