# SPDX-License-Identifier: Apache-2.0
"""Fetching a file over HTTP(S) into the cache: whole and checked, or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import http
import http.client
import os
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPMessage
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from dinoiser_ros.errors import FileNotOnServerError, WeightsError
from dinoiser_ros.utils.atomic_files import move_into_place

from .cache import cache_folder
from .download_limits import Pace, check_room, room_for_files
from .file_kinds import check_file

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
    files (`X-Linked-Etag`) as well. A file that does not fit the disk is not fetched, and a server
    that sends next to nothing is given up, see `download_limits`.

    Args:
        url: http or https.
        destination: where the file shall be; its folder is made.
        sha256, blob_id: checksums known beforehand.
        progress: called with the bytes received and the bytes in all.

    Returns:
        The destination.

    Raises:
        WeightsError: unreachable, refused, stalled, too large, truncated, damaged, something else
            than its name says (see `check_file`), or the folder cannot be written.
    """
    name = Path(urlsplit(_checked(url)).path).name
    try:
        with partial_file(destination) as (partial, file):
            room = room_for_files(destination.parent)
            announced = _receive(url, file, room, progress)
            verify(partial, sha256 or announced, blob_id)
            _check_kind(partial, name, url)
            move_into_place(partial, destination)
    except OSError as error:
        raise WeightsError(
            f"{destination.parent} cannot be written ({error.strerror or error}): free some space "
            "or choose another folder with DINOISER_CACHE."
        ) from error
    return destination


def _checked(url: str) -> str:
    """A URL that a request can be made of.

    Raises:
        WeightsError: it is none.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isprintable() or " " in url:
        raise WeightsError(
            f"{url!r} is no web address: correct it (HF_ENDPOINT is where the hub's begin), or "
            "give the path of a local file."
        )
    return url


def _check_kind(partial: Path, name: str, url: str) -> None:
    try:
        check_file(partial, name, whole=True)
    except WeightsError as error:
        raise WeightsError(
            f"{url} gave something else than {name} ({error}): check the address and whether the "
            "network asks for a login, or give a local file."
        ) from error


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


def _receive(url: str, file: IO[bytes], room: int, progress: Progress | None) -> str | None:
    """Copy a URL into an open file; give the SHA-256 that the server announced, if any.

    Args:
        room: bytes that there is space for.

    Raises:
        WeightsError: whatever the network or the server did.
        OSError: the file cannot be written.
    """
    redirects = _RememberLinkedEtag()
    with _open(url, redirects) as response:
        length = response.headers.get("Content-Length")
        total = int(length) if length and length.isascii() and length.isdigit() else None
        check_room(url, total or 0, room)
        received, pace = 0, Pace(url)
        while chunk := _next_chunk(url, response):
            received += len(chunk)
            check_room(url, received, room)
            pace.check(received)
            file.write(chunk)
            if progress is not None:
                progress(received, total)
        etag = (response.headers.get("X-Linked-Etag") or redirects.etag or "").strip('W/"')
    file.flush()
    if total is not None and received != total:
        raise WeightsError(
            f"{url} ended after {received} of {total} bytes: try again, the network broke off."
        )
    return etag if len(etag) == 64 else None


def _open(url: str, redirects: _RememberLinkedEtag) -> http.client.HTTPResponse:
    """The answer to a request; only one with a file in it."""
    request = urllib.request.Request(url, headers={"User-Agent": "dinoiser_ros"})
    with _network(url):
        opener = urllib.request.build_opener(redirects)
        response: http.client.HTTPResponse = opener.open(request, timeout=_TIMEOUT)
    if response.status != http.HTTPStatus.OK:
        response.close()
        raise WeightsError(
            f"{url} answered {response.status} {response.reason} and no file: check the address, "
            "or give a local file."
        )
    return response


def _next_chunk(url: str, response: http.client.HTTPResponse) -> bytes:
    with _network(url):
        return response.read1(_CHUNK)  # what has arrived, so that a trickle is seen


@contextlib.contextmanager
def _network(url: str) -> Iterator[None]:
    """Turn whatever a request ends with into a WeightsError."""
    try:
        yield
    except urllib.error.HTTPError as error:
        kind = FileNotOnServerError if error.code == http.HTTPStatus.NOT_FOUND else WeightsError
        reason = " ".join(str(error.reason).split())
        raise kind(
            f"{url} answered {error.code} {reason}: check the address, or give a local file."
        ) from error
    except http.client.IncompleteRead as error:
        raise WeightsError(f"{url} ended too early: try again, the network broke off.") from error
    except (http.client.HTTPException, ValueError) as error:
        reason = " ".join(f"{type(error).__name__} {error}".split())
        raise WeightsError(
            f"{url} gave an answer that is not HTTP ({reason[:120]}): check the address and the "
            "proxy, or give a local file."
        ) from error
    except Exception as error:  # no network, names, certificates, time-outs, and what is to come
        reason = " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__
        raise WeightsError(
            f"{url} cannot be reached ({reason[:200]}): connect to the network, run `dinoiser "
            f"download` where there is one and copy its files to {cache_folder()}, or give a local "
            "file with `weights` (`heads` and `dino` likewise)."
        ) from error
