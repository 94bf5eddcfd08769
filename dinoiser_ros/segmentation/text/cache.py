# SPDX-License-Identifier: Apache-2.0
"""Text embeddings on disk: a folder of small files that all processes of a user share.

A file is a SHA-256 and a float32 vector, nothing that could be executed. The cache only ever saves
time: where the folder cannot be written, a file is damaged, or something else has its name, the
embedding counts as missing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dinoiser_ros.segmentation.weights.cache import cache_folder
from dinoiser_ros.segmentation.weights.download import write_to_cache

_SUFFIX = ".embedding"
_DIGEST = 32  # bytes
_MOST_BYTES = _DIGEST + 4 * 65536  # a wider embedding is none of ours
_MOST_FILES = 4096  # 2 kB each for a width of 512


def open_text_cache() -> TextCache | None:
    """The cache of whoever runs this; None for a user without a home."""
    try:
        return TextCache(cache_folder() / "text")
    except RuntimeError:  # of expanduser
        return None


class TextCache:
    """Vectors by key, kept in a folder; may be used by several threads and processes.

    Args:
        folder: made when something is stored.
        most_files: what is kept; those not used for longest go first.

    Attributes:
        folder: as given.
        problem: why the last embedding could not be stored, in one sentence; None if it was.
    """

    def __init__(self, folder: Path, most_files: int = _MOST_FILES) -> None:
        self.problem: str | None = None
        self.folder = folder
        self._most_files = most_files

    def load(self, keys: Sequence[str]) -> dict[str, Tensor]:
        """Those of the keys (any texts) that are there, with their vectors (d,) float32."""
        found = {key: self._read(key) for key in keys}
        return {key: vector for key, vector in found.items() if vector is not None}

    def store(self, embeddings: Mapping[str, Tensor]) -> None:
        """Keep vectors (d,) float32; what cannot be kept is not, see `problem`."""
        try:
            for key, vector in embeddings.items():
                content = vector.cpu().numpy().astype("<f4").tobytes()
                write_to_cache(self._path(key), _digest(key, content) + content)
            self._make_room()
        except OSError as error:
            self.problem = (
                f"text embeddings cannot be kept in {self.folder} ({error.strerror or error}) and "
                "are computed again at the next start: free some space, or choose another folder "
                "with DINOISER_CACHE"
            )
        else:
            self.problem = None

    def _path(self, key: str) -> Path:
        return self.folder / (hashlib.sha256(_bytes(key)).hexdigest() + _SUFFIX)

    def _read(self, key: str) -> Tensor | None:
        path = self._path(key)
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                return None  # opening a pipe would wait for somebody to write to it
            with path.open("rb") as file:
                data = file.read(_MOST_BYTES + 1)
        except OSError:
            return None
        digest, content = data[:_DIGEST], data[_DIGEST:]
        if not content or digest != _digest(key, content):
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # used just now
        return torch.from_numpy(np.frombuffer(content, "<f4").astype(np.float32))

    def _make_room(self) -> None:
        """Remove the files that were not used for longest, if there are too many."""
        used = []
        for path in self.folder.glob("*" + _SUFFIX):
            with contextlib.suppress(OSError):  # another process removed it
                used.append((path.stat().st_mtime_ns, path))
        for _, path in sorted(used)[: max(0, len(used) - self._most_files)]:
            with contextlib.suppress(OSError):
                path.unlink()


def _digest(key: str, content: bytes) -> bytes:
    """With the key, so that a file that was renamed or copied is none of another embedding."""
    return hashlib.sha256(hashlib.sha256(_bytes(key)).digest() + content).digest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
