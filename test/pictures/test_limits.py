# SPDX-License-Identifier: Apache-2.0
"""Too large pictures of every format are refused before they take memory."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from dinoiser_ros.errors import PictureError
from dinoiser_ros.pictures.decode import PictureFile, decode_picture

SIDE = 32000
_ALLOWED = 150  # MiB above the libraries themselves


def chunk(name: bytes, content: bytes) -> bytes:
    """One of a PNG's."""
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def png() -> bytes:
    """A whole picture of 32000 x 32000, one bit each: 124 kB that become gigabytes."""
    packer = zlib.compressobj(9)
    row = bytes(1 + SIDE // 8)
    data = b"".join(packer.compress(row) for _ in range(SIDE)) + packer.flush()
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff() -> bytes:
    """The header of a grey picture in one strip."""
    tags = [(256, SIDE), (257, SIDE), (258, 8), (259, 1), (262, 1), (273, 8), (278, SIDE),
            (279, 8)]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(64)


LARGE = {
    "png": png,
    "jpg": lambda: b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xc0\0\x0b\x08"
    + struct.pack(">HH", SIDE, SIDE)
    + b"\1\1\x11\0\xff\xda\0\x08\1\1\0\0\x3f\0"
    + bytes(1000)
    + b"\xff\xd9",
    "gif": lambda: b"GIF89a" + struct.pack("<HH", SIDE, SIDE) + b"\x80\0\0" + bytes(6) + b"\x2c"
    + struct.pack("<HHHH", 0, 0, SIDE, SIDE) + b"\0\2\2\x44\1\0\x3b",
    "bmp": lambda: b"BM" + struct.pack("<IHHIIiiHHIIiiII", 1078, 0, 0, 54, 40, SIDE, SIDE, 1, 24,
                                       0, 0, 0, 0, 0, 0) + bytes(64),
    "tif": tiff,
    "webp": lambda: b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0"
    + 2 * (16383).to_bytes(3, "little")
    + bytes(16),
}  # fmt: skip


@pytest.mark.parametrize("suffix", LARGE)
def test_a_large_picture_is_refused_with_its_size(tmp_path: Path, suffix: str) -> None:
    data = LARGE[suffix]()
    path = tmp_path / f"large.{suffix}"
    path.write_bytes(data)
    for read in (lambda: decode_picture(data), lambda: PictureFile(path)):
        with pytest.raises(PictureError, match="pixels, more than|more than .* pixels") as error:
            read()
        assert error.value.kind == "size"


def test_refusing_takes_no_memory(tmp_path: Path) -> None:
    """Highest memory of a process that is given one of each, on a topic and in a folder."""
    for suffix, make in LARGE.items():
        (tmp_path / f"large.{suffix}").write_bytes(make())
    code = f"""
import pathlib, resource, types
import cv2
from dinoiser_ros.errors import DinoiserError
from dinoiser_ros.messages.decode import rgb_from_compressed
from dinoiser_ros.media.frame_sources import open_source
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = peak()
refused = 0
for path in sorted(pathlib.Path({str(tmp_path)!r}).iterdir()):
    message = types.SimpleNamespace(format="png", data=path.read_bytes())
    for read in (lambda: rgb_from_compressed(message), lambda: open_source(str(path)).read()):
        try:
            read()
        except DinoiserError as error:
            refused += "pixels" in str(error)
print(refused, peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert not done.returncode, done.stderr
    refused, grown = map(int, done.stdout.split())
    assert refused == 2 * len(LARGE) and grown < _ALLOWED
