# SPDX-License-Identifier: Apache-2.0
"""Where the files of a model come from: local paths, the cache and the network.

A source is a local path or an http(s) URL, with an optional `#sha256=<hex>` at its end. What is
fetched goes to the cache folder, see `cache`.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from dinoiser_ros.errors import FileNotOnServerError, WeightsError

from .cache import cache_folder, is_offline
from .download import Progress, download, verify
from .file_kinds import check_file


@dataclass(frozen=True)
class Source:
    """One file of a model: its place and what is known to check it.

    Attributes:
        location: a local path or a URL.
        sha256, blob_id: checksums, where known.
        hub_file: (repository, file name) on the Hugging Face hub: a copy that other programs have
            already put into the hub's own cache is used.
    """

    location: str
    sha256: str | None = None
    blob_id: str | None = None
    hub_file: tuple[str, str] | None = None


def parse_source(location: str | os.PathLike[str]) -> Source:
    """A path or URL as a user gives it, with an optional `#sha256=<hex>`, as a source."""
    text = os.fspath(location)
    place, mark, digest = text.partition("#sha256=")
    return Source(place, sha256=digest.strip() or None) if mark else Source(text)


def find_file(
    sources: tuple[Source, ...], offline: bool = False, progress: Progress | None = None
) -> Path:
    """Give a local file for the first source that can be had.

    Args:
        sources: tried in order: first what is on this machine, then, unless offline, the network.
        offline: never use the network.
        progress: see `download`.

    Raises:
        WeightsError: none can be had; the message is that of the last one tried.
    """
    for source in sources:
        if (path := _on_this_machine(source)) is not None:
            return path
    remote = [source for source in sources if _is_remote(source)]
    if not remote:
        missing = sources[-1].location if sources else "A file of the model"
        raise WeightsError(f"{missing} does not exist: give the path of a file.")
    if is_offline(offline):
        raise WeightsError(
            f"{remote[0].location} is not in {cache_folder()} and the network is switched off: put "
            "the file there once with `dinoiser download`, or give its path with `weights` "
            "(`heads` and `dino` likewise)."
        )
    for source in remote:
        try:
            target = _cached_path(source)
            return download(source.location, target, source.sha256, source.blob_id, progress)
        except FileNotOnServerError as error:
            last = error
    raise last


def _on_this_machine(source: Source) -> Path | None:
    """The local copy of a source: the path itself, our cache, or the hub's cache."""
    if not _is_remote(source):
        path = Path(source.location).expanduser()
        if not path.is_file():
            return None
        verify(path, source.sha256, source.blob_id)
        return path
    cached = _cached_path(source)
    if _is_usable(cached):
        return cached
    if source.hub_file is not None:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(*source.hub_file)
        return Path(found) if isinstance(found, str) and _is_usable(Path(found)) else None
    return None


def _is_usable(path: Path) -> bool:
    """Whether a cache's file is there and opens as what it must be; else it is fetched again."""
    if not path.is_file():
        return False
    try:
        check_file(path, path.name)
    except (WeightsError, OSError):
        return False
    return True


def _is_remote(source: Source) -> bool:
    """Whether it is to be fetched; the hub's files are, whatever HF_ENDPOINT makes of them."""
    return source.hub_file is not None or source.location.lower().startswith(("http:", "https:"))


def _cached_path(source: Source) -> Path:
    """Where a URL is kept: a readable name, made unique by the URL and the checksum asked for."""
    key = f"{source.location} {source.sha256 or source.blob_id or ''}"
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    try:
        name = Path(urlsplit(source.location).path).name
    except ValueError:  # no URL, which `download` will say
        name = "file"
    return cache_folder() / f"{digest}-{name}"
