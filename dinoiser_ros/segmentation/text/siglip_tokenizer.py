# SPDX-License-Identifier: Apache-2.0
"""SigLIP's tokenizers: SentencePiece models in the form of Hugging Face's `tokenizer.json`.

Texts are first put into the form that SigLIP was trained with, as big_vision and OpenCLIP do:
lower case, no punctuation, single spaces. An end token follows, then padding up to the context,
which the model reads like any token.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dinoiser_ros.errors import OptionError, WeightsError
from dinoiser_ros.utils.sentences import first_line

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_ENDS = ("</s>", "<eos>")
_PAD = "<pad>"
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


class SiglipTokenizer:
    """Reads a `tokenizer.json`; called like open_clip's tokenizers.

    Args:
        path: the file.
        context_length: tokens of a text, with its end and padding.

    Raises:
        OptionError: the package `tokenizers` is not installed.
        WeightsError: it is no such file.
    """

    def __init__(self, path: Path, context_length: int = 64) -> None:
        self.context_length = context_length
        self._tokenizer = _read(path)
        # The first SigLIP's vocabulary (T5's) pads with its end, SigLIP 2's (Gemma's) has a token
        # for it.
        first, second = (self._tokenizer.token_to_id(name) for name in _ENDS)
        end = second if first is None else first
        pad = self._tokenizer.token_to_id(_PAD) if first is None else first
        if end is None or pad is None:
            raise WeightsError(f"{path} has no token for the end of a text: is it a SigLIP's?")
        self._end: int = end
        self._pad: int = pad

    @property
    def highest_id(self) -> int:
        """The largest id that a text can have."""
        size: int = self._tokenizer.get_vocab_size(with_added_tokens=False)
        return size - 1

    def encode(self, text: str) -> list[int]:
        """The token ids of a text, without end and padding."""
        ids: list[int] = self._tokenizer.encode(canonical(text), add_special_tokens=False).ids
        return ids

    def __call__(self, texts: list[str]) -> Tensor:
        """(T, context_length) int64 token ids of texts, with end and padding; long ones are cut."""
        rows = torch.full((len(texts), self.context_length), self._pad)
        for row, text in zip(rows, texts, strict=True):
            ids = [*self.encode(text)[: self.context_length - 1], self._end]
            row[: len(ids)] = torch.tensor(ids)
        return rows


def canonical(text: str) -> str:
    """A text in lower case, without punctuation, with single spaces."""
    return " ".join(text.replace("_", " ").translate(_NO_PUNCTUATION).lower().split())


def _read(path: Path) -> Tokenizer:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise OptionError(
            "Models of SigLIP need the package tokenizers: run pip install '.[siglip]'."
        ) from None
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the package has no error of its own
        reason = first_line(error, 120)
        raise WeightsError(
            f"{path} cannot be read as a tokenizer ({reason}): it is damaged or another file."
        ) from error
