# SPDX-License-Identifier: Apache-2.0
"""What servers and proxies answer instead of a file: one sentence, and nothing is kept."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from golden_data import GOLDEN
from safetensors.torch import load_file

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.segmentation.models.registry import MODELS
from dinoiser_ros.segmentation.weights import download_limits
from dinoiser_ros.segmentation.weights.checkpoint import read_checkpoint
from dinoiser_ros.segmentation.weights.sources import Source, find_file, parse_source

HEADS = (GOLDEN / "heads.safetensors").read_bytes()
OK = b"HTTP/1.1 200 OK\r\n"
PAGE = b"<!DOCTYPE html><html>Please log in</html>"

Serve = Callable[[bytes], str]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DINOISER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Answers every request with the bytes that were given last; gives the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    answers: list[bytes] = []

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(answers[-1].replace(b"HERE", url.encode()))

    thread = threading.Thread(target=run)
    thread.start()

    def start(answer: bytes) -> str:
        answers.append(answer)
        return url

    yield start
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def with_length(content: bytes, length: int | None = None) -> bytes:
    return OK + f"Content-Length: {length or len(content)}\r\n\r\n".encode() + content


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (with_length(PAGE), "something else .* web page"),
        (OK + b"\r\n", "it is empty"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "answered 204 No Content and no file"),
        (b"HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\n\r\nabcd", "answered 206"),
        (with_length(HEADS, len(HEADS) - 100), "no complete safetensors file"),
        (with_length(HEADS, len(HEADS) + 100), "ended (too early|after)"),
        (OK + b"Content-Length: \xb2\r\n\r\n", "it is empty"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1000\r\nabc", "ended too early"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc", "ended too early|not HTTP"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not HTTP"),
        (b"", "cannot be reached|not HTTP"),
        (OK + b"".join(b"X-%d: 1\r\n" % i for i in range(200)) + b"\r\n", "not HTTP"),
        (OK + b"X: " + b"a" * 70000 + b"\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 302 Found\r\nLocation: HERE/heads.safetensors\r\n\r\n", "answered 302"),
        (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", "answered 302"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "answered 503"),
        (with_length(b'{"error": "rate limit"}'), r"begins with '\{\"error\""),
    ],
)  # fmt: skip
def test_nothing_is_kept(serve: Serve, cache: Path, answer: bytes, reason: str) -> None:
    url = f"{serve(answer)}/heads.safetensors"
    with pytest.raises(WeightsError, match=reason) as error:
        find_file((parse_source(url),))
    assert "\n" not in str(error.value)
    assert not list(cache.iterdir())
    serve(with_length(HEADS))  # when the network is well again, so is the node
    assert find_file((parse_source(url),)).read_bytes() == HEADS


@pytest.mark.parametrize("name", ["heads.pt", "heads.pth", "model.bin"])
def test_a_page_instead_of_a_pytorch_file(serve: Serve, cache: Path, name: str) -> None:
    with pytest.raises(WeightsError, match="no complete PyTorch file: it is a web page"):
        find_file((parse_source(f"{serve(with_length(PAGE))}/{name}"),))
    assert not list(cache.iterdir())


@pytest.mark.parametrize("zipped", [True, False])
def test_pytorch_files_of_both_kinds(
    serve: Serve, cache: Path, tmp_path: Path, zipped: bool
) -> None:
    path = tmp_path / "heads.pt"
    torch.save({"a": torch.ones(100)}, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    with pytest.raises(WeightsError, match="no complete PyTorch file"):
        find_file((parse_source(f"{serve(with_length(content[:-200]))}/heads.pt"),))
    assert not list(cache.iterdir())
    assert find_file((parse_source(f"{serve(with_length(content))}/heads.pt"),)).is_file()


def test_a_bad_file_of_the_cache_is_fetched_again(serve: Serve) -> None:
    """As an earlier release kept it, or a disk that failed left it."""
    source = (parse_source(f"{serve(with_length(HEADS))}/heads.safetensors"),)
    path = find_file(source)
    path.write_bytes(PAGE)
    with pytest.raises(WeightsError, match="switched off"):
        find_file(source, offline=True)
    assert find_file(source).read_bytes() == HEADS


@pytest.mark.parametrize(
    "endpoint",
    [
        "huggingface.co",
        "http://",
        "http://[::1",
        "https://host:port",
        "http://a b",
        "ftp://x",
        "http:/x",
    ],
)
def test_a_malformed_address_of_the_hub(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(WeightsError, match="no web address.*HF_ENDPOINT"):
        find_file(MODELS["vit-b-16"]().weights)


def test_no_network(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    with pytest.raises(WeightsError) as error:
        find_file((Source("http://127.0.0.1:9/clip.safetensors"),))
    for part in ("`weights`", "`dinoiser download`", str(cache)):
        assert part in str(error.value)


class Extra:
    """Harmless, but nothing that is read without executing a file's code."""


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (Extra(), r"object of type [\w.]*\bExtra besides tensors"),
        (torch.nn.Linear(2, 2), r"object of type [\w.]*Linear besides tensors"),
        (Path("a"), r"object of type pathlib[\w.]*Path besides tensors"),
    ],
)
def test_the_cause_of_harmless_objects_is_named(
    tmp_path: Path, extra: object, said: str, zipped: bool
) -> None:
    path = tmp_path / "heads.pt"
    content = {"state_dict": load_file(GOLDEN / "heads.safetensors"), "extra": extra}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=said):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"epoch": 3, "a": torch.ones(1)}, "entry 'epoch' is int"),
        ({7: torch.ones(1)}, "entry '7' is Tensor"),
        ([torch.ones(1)], "but a list"),
        (OrderedDict(a=torch.ones(1).expand(10**6, 10**6)), "less data in a"),
    ],
)
def test_what_is_no_state_dict(tmp_path: Path, content: object, said: str) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match=said):
        read_checkpoint(tmp_path / "a.pt")


class Stream:
    """A server that answers every request with a part, again and again, until nobody listens."""

    def __init__(self, head: bytes, part: bytes, pause: float) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/heads.safetensors"
        self._answer = head, part, pause
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        head, part, pause = self._answer
        connection, _ = self._listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(OK + head + b"\r\n")
            while True:
                connection.sendall(part)
                time.sleep(pause)

    def close(self) -> None:
        self._thread.join()
        self._listener.close()


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (b"", b"a" * 65536),  # no length at all
        (b"Transfer-Encoding: chunked\r\n", b"10000\r\n" + b"a" * 65536 + b"\r\n"),
    ],
)
def test_a_file_without_an_end(
    monkeypatch: pytest.MonkeyPatch, cache: Path, head: bytes, part: bytes
) -> None:
    monkeypatch.setattr(download_limits, "LARGEST", 3_000_000)
    server = Stream(head, part, 0.0)
    with pytest.raises(WeightsError, match=r"more than the 0\.0 GB that there is space for"):
        find_file((parse_source(server.url),))
    server.close()
    assert not list(cache.iterdir())


def test_a_file_larger_than_the_disk_is_refused_before_it(serve: Serve, cache: Path) -> None:
    with pytest.raises(WeightsError, match="that there is space for"):
        find_file((parse_source(f"{serve(with_length(HEADS, 10**17))}/heads.safetensors"),))
    assert not list(cache.iterdir())


def test_a_server_that_sends_next_to_nothing(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(download_limits, "PATIENCE", 0.3)
    server = Stream(b"Content-Length: 1000000\r\n", b"a", 0.02)
    with pytest.raises(WeightsError, match=r"stalled: \d+ bytes came in \d+ s: try again"):
        find_file((parse_source(server.url),))
    server.close()
    assert not list(cache.iterdir())
