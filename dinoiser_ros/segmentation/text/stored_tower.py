# SPDX-License-Identifier: Apache-2.0
"""A text tower that is loaded only when a phrase is in no cache.

A robot that starts with the prompts of the day before never loads it, which saves a quarter of
a gigabyte of memory and a quarter of a second.
"""

from __future__ import annotations

import contextlib
import re
import threading
from pathlib import Path

from torch import nn

from dinoiser_ros.segmentation.weights.checkpoint import StoredTensors, copy_into
from dinoiser_ros.segmentation.weights.download import write_to_cache

from .identity import text_names, weights_digest

_SUFFIX = ".digest"


class StoredText:
    """What belongs to texts in a file of CLIP's weights that was checked, but not read in full.

    Args:
        clip: where it belongs; the text tower holds whatever is in memory until it is filled.
        state: the file's tensors, which fit.
    """

    def __init__(self, clip: nn.Module, state: StoredTensors) -> None:
        self._clip = clip
        self._state = state
        self._names = text_names(state)
        self._filled = False
        self._lock = threading.Lock()

    def fill(self) -> None:
        """Read the text tower, unless that is done.

        Raises:
            WeightsError: the file is gone, is another by now, or has values that cannot be.
        """
        with self._lock:
            if not self._filled:
                copy_into(self._clip, self._state, self._names, str(self._state.path))
                self._filled = True

    def digest(self, folder: Path) -> str:
        """See `weights_digest`.

        It is computed once for a file: what was opened then, even if another file has taken its
        place.

        Args:
            folder: where it is kept; one that cannot be written is no error.

        Raises:
            WeightsError: as in `fill`, if it was not computed before.
        """
        kept = folder / (self._state.fingerprint + _SUFFIX)
        try:
            known = kept.read_text(encoding="ascii")
        except (OSError, ValueError):
            known = ""
        if re.fullmatch("[0-9a-f]{64}", known):
            return known
        digest = weights_digest(self._state, self._names)
        with contextlib.suppress(OSError):  # then the next start takes a little longer
            write_to_cache(kept, digest.encode())
        return digest
