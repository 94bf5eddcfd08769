# SPDX-License-Identifier: Apache-2.0
"""How large a picture may be, known before a pixel of it is decoded."""

from __future__ import annotations

from dinoiser_ros.errors import PictureError

MAX_PIXELS = 64_000_000  # an 8000 x 8000 picture; more is a broken file rather than a camera's
MAX_BYTES = 1 << 30  # of a file whose content has to be checked as a whole


def check_size(width: int, height: int) -> None:
    """Raise PictureError, of kind "size", for a picture without pixels or with too many."""
    if width < 1 or height < 1:
        raise PictureError("size", f"the picture is empty ({width}x{height})")
    if width * height > MAX_PIXELS:
        raise PictureError(
            "size",
            f"the picture has {width}x{height} pixels, more than {MAX_PIXELS}: give a smaller one",
        )


def webp_size(start: bytes) -> tuple[int, int] | None:
    """Width and height that the first 30 bytes of a WebP file state; None for other files.

    Pillow takes memory for a whole WebP picture when it opens the file. Layout: RFC 9649.
    """
    if len(start) < 30 or start[:4] != b"RIFF" or start[8:12] != b"WEBP":
        return None
    kind = start[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(start[at : at + 3], "little") + 1 for at in (24, 27))
        return width, height
    if kind == b"VP8L":
        bits = int.from_bytes(start[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = (int.from_bytes(start[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    return width, height
