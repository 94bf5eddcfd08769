# SPDX-License-Identifier: Apache-2.0
"""Finds JPEG and PNG files with bytes missing or changed.

The decoders show the rest of such a file as grey or shifted blocks and warn at most on the
process's error output.
"""

from __future__ import annotations

import io
import zlib

import numpy as np
from PIL import Image, JpegImagePlugin

from dinoiser_ros.errors import PictureError

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# What may follow 0xff in coded data: a stuffed 0, a fill byte, a restart marker.
_WITHIN_DATA = np.zeros(256, bool)
_WITHIN_DATA[[0x00, 0xFF, *range(0xD0, 0xD8)]] = True
_SOS, _EOI, _DQT = 0xDA, 0xD9, 0xDB
_BETWEEN_SCANS = frozenset({0xC4, 0xDA, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)})
_SEQUENTIAL = frozenset({0xC0, 0xC1})  # frames whose only scan is decoded row by row
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
# libjpeg reads up to 8 bytes ahead, so that the end of the data is known to so many. Some webcams
# end their frames with a few bytes too many, which has to be allowed for.
_AHEAD = 12
_FILLING = b"\xff\x00" * 8  # ones, which are no code: they cannot stand for data that is missing


def is_jpeg(data: bytes) -> bool:
    """Whether a file's content begins as a JPEG file does."""
    return data.startswith(_JPEG)


def check_whole(data: bytes) -> None:
    """Raise PictureError, of kind "decode", if a JPEG or PNG file is known to be damaged.

    Of a PNG file every byte is checked. Of a JPEG file with one scan, the usual kind, it is checked
    that the coded data last exactly as long as the picture; of others, that they have an end.
    """
    if is_jpeg(data):
        _check_jpeg(data)
    elif data.startswith(_PNG):
        _check_png(data)


def _damaged(reason: str) -> PictureError:
    return PictureError("decode", f"the picture is damaged: {reason}")


def _check_png(data: bytes) -> None:
    view, position = memoryview(data), len(_PNG)
    while position + 12 <= len(data):
        length = int.from_bytes(view[position : position + 4], "big")
        end = position + 12 + length
        stated = int.from_bytes(view[end - 4 : end], "big")
        if end > len(data):
            break
        if zlib.crc32(view[position + 4 : end - 4]) != stated:
            raise _damaged("a checksum of it is wrong")
        if bytes(view[position + 4 : position + 8]) == b"IEND":
            return
        position = end
    raise _damaged("its end is missing")


def _check_jpeg(data: bytes) -> None:
    frame, position = 0, 2
    scan_ends = []
    while True:
        marker, position = _next_segment(data, position)
        if marker == _EOI:
            break
        if marker in _FRAMES:
            frame = marker
        length = int.from_bytes(data[position : position + 2], "big")
        position += length
        if length < 2 or position > len(data):
            raise _damaged("its end is missing")
        if marker == _DQT:
            _check_quantisation(data[position - length + 2 : position])
        if marker == _SOS:
            position = _end_of_data(data, position)
            scan_ends.append(position)
    if not scan_ends:
        raise _damaged("it has no data")
    if frame in _SEQUENTIAL and len(scan_ends) == 1:
        _check_scan(data, scan_ends[0])


def _check_quantisation(tables: bytes) -> None:
    """Refuse quantisation tables with a step of 0, which decoders take as it is (ITU T.81).

    Args:
        tables: one after the other: precision and number, then 64 steps of 8 or 16 bits.
    """
    while tables:
        size = 2 if tables[0] >> 4 else 1
        steps = np.frombuffer(tables[1 : 1 + 64 * size], f">u{size}")
        if len(steps) < 64 or not steps.all():
            raise _damaged("its quantisation is none")
        tables = tables[1 + 64 * size :]


def _end_of_data(data: bytes, start: int) -> int:
    """Where the marker is that ends the coded data of a scan."""
    content = np.frombuffer(data, np.uint8, offset=start)
    places = np.flatnonzero(content[:-1] == 0xFF)
    ends = places[~_WITHIN_DATA[content[places + 1]]]
    if not ends.size:
        raise _damaged("its end is missing")
    end = start + int(ends[0])
    if data[end + 1] != _EOI and data[end + 1] not in _BETWEEN_SCANS:
        raise _damaged("its data are interrupted")
    return end


def _next_segment(data: bytes, position: int) -> tuple[int, int]:
    """The marker at a position, and the position after it; fill bytes are passed over."""
    start = position
    while position < len(data) and data[position] == 0xFF:
        position += 1
    if position >= len(data):
        raise _damaged("its end is missing")
    if position == start:
        raise _damaged("a marker is missing")
    return data[position], position + 1


def _check_scan(data: bytes, end: int) -> None:
    """Decode a sequential JPEG, at an eighth of its size, to see how far its data go.

    Args:
        end: where the coded data end.
    """
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as file:
        assert isinstance(file, JpegImagePlugin.JpegImageFile)
        file.draft("L", (1, 1))
        _, extents, _, arguments = file.tile[0]
        decoder = Image._getdecoder(file.mode, "jpeg", arguments, file.decoderconfig)
        target = Image.new(file.mode, file.size)
    decoder.setimage(target.im, extents)
    # A decoder that is given a part says how much of it was used, or -1 when it has every row.
    first = max(end - _AHEAD, 0)
    used, error = decoder.decode(data[:first])
    if used < 0:
        raise _damaged("data are missing in it" if not error else "its data cannot be decoded")
    used, error = decoder.decode(data[used:end] + _FILLING)
    if used >= 0 or error:
        raise _damaged("data are missing in it")
