# SPDX-License-Identifier: Apache-2.0
"""Fetching a file over HTTP(S) into the cache: whole and checked, or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPMessage
from pathlib import Path
from typing import IO

from dinoiser_ros.errors import FileNotOnServerError, WeightsError
from dinoiser_ros.utils.atomic_files import move_into_place

_CHUNK = 1 << 20  # bytes
_TIMEOUT = 30.0  # seconds without a byte
_PARTIAL_PREFIX = ".partial-"
_STALE_AFTER = 24 * 3600.0  # seconds; a running download touches its file all the time


Progress = Callable[[int, "int | None"], None]  # bytes so far, bytes in all if known


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return _digest(path, hashlib.sha256())


def git_blob_id_of(path: Path) -> str:
    """The id git gives a file's content: SHA-1 over "blob <size>", a zero byte, the content."""
    header = f"blob {path.stat().st_size}\0".encode()
    return _digest(path, hashlib.sha1(header, usedforsecurity=False))


def _digest(path: Path, digest: hashlib._Hash) -> str:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def verify(path: Path, sha256: str | None = None, blob_id: str | None = None) -> None:
    """Compare a file with the checksums that are known of it.

    Raises:
        WeightsError: a checksum differs.
    """
    for kind, wanted, compute in (
        ("SHA-256", sha256, sha256_of),
        ("git blob id", blob_id, git_blob_id_of),
    ):
        if wanted is not None and (found := compute(path)) != wanted.lower():
            raise WeightsError(
                f"{path.name} has {kind} {found} and not {wanted}: it is damaged or another file, "
                "fetch it again."
            )


def download(
    url: str,
    destination: Path,
    sha256: str | None = None,
    blob_id: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Fetch a URL to a file that appears only when it is complete and verified.

    The length that the server announces is checked, and the SHA-256 that a hub announces for large
    files (`X-Linked-Etag`) as well.

    Args:
        url: http or https.
        destination: where the file shall be; its folder is made.
        sha256, blob_id: checksums known beforehand.
        progress: called with the bytes received and the bytes in all.

    Returns:
        The destination.

    Raises:
        WeightsError: unreachable, refused, truncated, damaged, or the folder cannot be written.
    """
    try:
        with partial_file(destination) as (partial, file):
            announced = _receive(url, file, progress)
            verify(partial, sha256 or announced, blob_id)
            move_into_place(partial, destination)
    except urllib.error.HTTPError as error:
        kind = FileNotOnServerError if error.code == 404 else WeightsError
        raise kind(
            f"{url} answered {error.code} {error.reason}: check the address, or give a local file."
        ) from error
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise WeightsError(
            f"{url} cannot be reached ({reason}): connect to the network, or fetch the file "
            "elsewhere and give its path."
        ) from error
    except OSError as error:
        raise WeightsError(
            f"{destination.parent} cannot be written ({error.strerror or error}): free some space "
            "or choose another folder with DINOISER_CACHE."
        ) from error
    return destination


@contextlib.contextmanager
def partial_file(destination: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """A temporary file beside the destination that never outlives the download.

    Its name is its own, since several processes may fetch one file at a time; hence a killed
    process's file is removed for its age, unlike those of `utils.atomic_files.atomic_write`.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    remove_stale_partials(destination.parent)
    handle, name = tempfile.mkstemp(prefix=_PARTIAL_PREFIX, dir=destination.parent)
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield partial, file
    finally:
        partial.unlink(missing_ok=True)


def write_to_cache(destination: Path, content: bytes) -> None:
    """Write a small file of the cache, as a whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    with partial_file(destination) as (partial, file):
        file.write(content)
        file.flush()  # what is still in memory has to be in the file by then
        # Readers check a digest: an entry that a power cut left empty is made again.
        move_into_place(partial, destination, durable=False)


def remove_stale_partials(folder: Path, older_than: float = _STALE_AFTER) -> None:
    """Remove what a killed process left behind in a cache folder.

    Args:
        folder: the cache folder.
        older_than: seconds since the last write; younger files may belong to a running download.
    """
    for partial in folder.glob(_PARTIAL_PREFIX + "*"):
        with contextlib.suppress(OSError):
            if time.time() - partial.stat().st_mtime > older_than:
                partial.unlink()


class _RememberLinkedEtag(urllib.request.HTTPRedirectHandler):
    """Hubs announce a large file's SHA-256 on the redirect to its storage: keep it."""

    def __init__(self) -> None:
        self.etag: str | None = None

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        self.etag = headers.get("X-Linked-Etag", self.etag)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _receive(url: str, file: IO[bytes], progress: Progress | None) -> str | None:
    """Copy a URL into an open file; give the SHA-256 that the server announced, if any."""
    redirects = _RememberLinkedEtag()
    opener = urllib.request.build_opener(redirects)
    request = urllib.request.Request(url, headers={"User-Agent": "dinoiser_ros"})
    with opener.open(request, timeout=_TIMEOUT) as response:
        length = response.headers.get("Content-Length")
        total = int(length) if length and length.isdigit() else None
        received = 0
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            received += len(chunk)
            if progress is not None:
                progress(received, total)
        etag = (response.headers.get("X-Linked-Etag") or redirects.etag or "").strip('W/"')
    file.flush()
    if total is not None and received != total:
        raise WeightsError(
            f"{url} ended after {received} of {total} bytes: try again, the network broke off."
        )
    return etag if len(etag) == 64 else None
