# SPDX-License-Identifier: Apache-2.0
"""What engines keep in the cache folder: graphs, what runtimes make of them, and trials.

All of it can be made again. A name holds everything that the content depends on, so that an entry
of another model or version is never read.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from dinoiser_ros.errors import EngineError
from dinoiser_ros.segmentation.weights.cache import cache_folder
from dinoiser_ros.segmentation.weights.download import write_to_cache
from dinoiser_ros.utils.atomic_files import atomic_write

MOST_GRAPHS = 4  # kept; 340 MB each for ViT-B/16
_GRAPH, _TRIAL = ".onnx", ".json"
INT8_FILE = "model.xml"  # with its weights beside it, as OpenVINO writes them
_INT8_TRIAL = "trial" + _TRIAL


def name_of(*parts: object) -> str:
    """A file name that stands for these values."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


class EngineStore:
    """A folder of the cache.

    Args:
        folder: made when something is stored; None for `engines` in the user's cache.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "engines"

    def graph(self, name: str, write: Callable[[Path], None]) -> Path:
        """The graph of a name, written if it is not there.

        Raises:
            ExportError, OSError: it cannot be written.
        """
        path = self.folder / (name + _GRAPH)
        with self.locked():
            if not path.is_file():
                with atomic_write(path) as place:
                    write(place)
                self._make_room(path)
        with contextlib.suppress(OSError):
            os.utime(path)  # used just now
        return path

    def quantised(self, name: str) -> Path:
        """The int8 form of a graph.

        Raises:
            EngineError: nobody made it.
        """
        path = self._int8_folder(name) / INT8_FILE
        if not path.is_file():
            raise EngineError(
                "there is no int8 form of this model and method: make it with dinoiser quantize "
                "--images FOLDER"
            )
        return path

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out, which wait: workers that start together try an engine once.

        Raises:
            OSError: the folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # given back when the file is closed
            yield

    def keep_int8(self, name: str, folder: Path, cosine: float) -> Path:
        """Take the int8 form of a graph, `INT8_FILE` in a folder; returns its place here.

        Args:
            cosine: of its features and PyTorch's, see `Trial`.

        Raises:
            OSError: it cannot be written.
        """
        (folder / _INT8_TRIAL).write_text(json.dumps({"cosine": cosine}), encoding="utf-8")
        with atomic_write(self._int8_folder(name)) as place:
            shutil.copytree(folder, place)
        return self._int8_folder(name) / INT8_FILE

    def int8_cosine(self, name: str) -> float | None:
        """The cosine that `keep_int8` was given; None if that was never or cannot be read."""
        found = self.trial(f"{self._int8_folder(name).name}/{Path(_INT8_TRIAL).stem}") or {}
        return found.get("cosine")

    def _int8_folder(self, name: str) -> Path:
        return self.folder / f"{name}-int8"

    def trial(self, name: str) -> dict[str, float] | None:
        """What `keep_trial` was given; None if that was never or cannot be read."""
        try:
            found = json.loads((self.folder / (name + _TRIAL)).read_bytes())
            return {str(key): float(value) for key, value in found.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return None

    def keep_trial(self, name: str, found: dict[str, float]) -> None:
        """Keep numbers by name for the next start; what cannot be kept is not."""
        with contextlib.suppress(OSError):
            write_to_cache(self.folder / (name + _TRIAL), json.dumps(found).encode())

    def _make_room(self, newest: Path) -> None:
        """Remove the graphs that were not used for longest, and what was made of them."""
        used = []
        for path in self.folder.glob("*" + _GRAPH):
            with contextlib.suppress(OSError):  # another process removed it
                used.append((path.stat().st_mtime_ns, path))
        old = [path for _, path in sorted(used) if path != newest]
        for graph in old[: max(0, len(used) - MOST_GRAPHS)]:
            for path in (graph, *self.folder.glob(f"{graph.stem}-*.plan")):
                with contextlib.suppress(OSError):
                    path.unlink()
