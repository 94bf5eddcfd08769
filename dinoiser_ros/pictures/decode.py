# SPDX-License-Identifier: Apache-2.0
"""Picture files to arrays, from a path or from bytes, with one set of rules.

The size is read from the header before anything is decoded. More than 8 bits are scaled (see
`levels`), damaged files are refused (see `integrity`). A file with several pictures is read picture
by picture, or refused where only one can be meant.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from dinoiser_ros.errors import PictureError

from .integrity import check_whole, is_jpeg
from .levels import to_8_bits
from .limits import MAX_BYTES, MAX_PIXELS, check_size, webp_size

# Pillow knows many more; some of them start other programs.
_FORMATS = tuple(
    plugin.format
    for plugin in (
        BmpImagePlugin.BmpImageFile,
        GifImagePlugin.GifImageFile,
        JpegImagePlugin.JpegImageFile,
        PngImagePlugin.PngImageFile,
        PpmImagePlugin.PpmImageFile,
        TiffImagePlugin.TiffImageFile,
        WebPImagePlugin.WebPImageFile,
    )
)
_ANIMATED = frozenset({"GIF", "PNG", "TIFF", "WEBP"})
_CHECKED = frozenset({"JPEG", "MPO", "PNG"})
_ORIENTATION = 0x0112  # tags of EXIF and TIFF
_SUBFILE_TYPE = 254
_NO_PAGE = 0b101  # of the above: a smaller copy of another page, or a mask of it
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: np.swapaxes(pixels, 0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(np.swapaxes(pixels, 0, 1), 2),
    8: lambda pixels: np.rot90(pixels, 1),
}


class PictureFile:
    """A picture file that is open: one picture, the frames of an animation, or pages.

    Attributes:
        count: how many pictures it holds.
        rate: pictures per second that it asks for; 0 if it does not say.
    """

    def __init__(self, path: Path) -> None:
        """Open a file; raises PictureError if it is no picture, too large, or damaged."""
        if not path.is_file():
            what = "is not a file that can be read to its end" if path.exists() else "is not there"
            raise PictureError("decode", f"it {what}")
        with _readable():
            with path.open("rb") as file:
                start = file.read(30)
            _check_webp(start)
            self._image = Image.open(path, formats=_FORMATS)
        try:
            check_size(*self._image.size)
            if self._image.format in _CHECKED:
                _check_file(path)
            self._pages = self._find_pages()
            if len(self._pages) > 1:
                with _readable():
                    self._image.seek(self._pages[0])
                    check_size(*self._image.size)
                    self._image.load()  # some formats know the duration of a frame only then
        except BaseException:
            self._image.close()
            raise
        self.count = len(self._pages)
        duration = self._image.info.get("duration", 0) if self.count > 1 else 0
        usable = isinstance(duration, (int, float)) and duration > 0
        self.rate = 1000.0 / duration if usable else 0.0

    def _find_pages(self) -> list[int]:
        with _readable():
            if self._image.format not in _ANIMATED:
                return [0]  # a photograph with a preview, for one
            numbers = range(getattr(self._image, "n_frames", 1))
            if self._image.format != "TIFF" or len(numbers) == 1:
                return list(numbers)
            pages = []
            for number in numbers:
                self._image.seek(number)
                if not _tag(self._image, _SUBFILE_TYPE) & _NO_PAGE:
                    pages.append(number)
            return pages or [0]

    def read(self, number: int = 0, upright: bool = True) -> np.ndarray:
        """A picture of the file; where it is transparent, it is white.

        Args:
            number: 0 to `count` - 1.
            upright: turn it as its camera noted that it was held.

        Returns:
            (H, W, 3) uint8 RGB.

        Raises:
            PictureError: it is too large or cannot be decoded.
        """
        with _readable():
            self._image.seek(self._pages[number])
            check_size(*self._image.size)
            orientation = _orientation(self._image) if upright else 1
            pixels = _rgb(_flat(self._image))
        turn = _UPRIGHT.get(orientation)
        return pixels if turn is None else np.ascontiguousarray(turn(pixels))

    def close(self) -> None:
        """Close the file."""
        self._image.close()

    def __enter__(self) -> PictureFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_picture(path: Path, upright: bool = True) -> np.ndarray:
    """Read a file with one picture, see `PictureFile.read`.

    Raises:
        PictureError: it cannot be read, or holds more than one.
    """
    with PictureFile(path) as file:
        if file.count > 1:
            raise PictureError(
                "decode", f"it holds {file.count} pictures where one is needed: take them apart"
            )
        return file.read(upright=upright)


def decode_picture(data: bytes, grey: bool = False) -> np.ndarray:
    """Decode a file's content as a camera's driver sends it.

    The picture stays in the sensor's geometry, whatever its EXIF data say, and its transparency is
    ignored like that of raw images.

    Args:
        data: all of the file.
        grey: leave a picture of one channel as it is.

    Returns:
        (H, W, 3) uint8 RGB; with `grey`, (H, W) uint8 of a picture of one channel.

    Raises:
        PictureError: no picture, one that is too large or damaged, or several.
    """
    with _readable():
        _check_webp(data[:30])
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            check_size(*image.size)
            if image.format in _ANIMATED and getattr(image, "is_animated", False):
                raise PictureError("decode", "it holds several pictures where one is needed")
            check_whole(data)
            if not grey and is_jpeg(data) and image.mode in ("L", "RGB"):
                pixels = _fast_jpeg(data)
                if pixels is not None:
                    return pixels
            pixels = _values(image)
    return pixels if grey or pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)


def _fast_jpeg(data: bytes) -> np.ndarray | None:
    """OpenCV decodes JPEG twice as fast as Pillow, with the same library; None without it."""
    try:
        import cv2
    except ImportError:
        return None
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    return None if pixels is None else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


@contextmanager
def _readable() -> Iterator[None]:
    """Decoders raise whatever a broken file makes them raise, SyntaxError included."""
    try:
        yield
    except PictureError:
        raise
    except Image.DecompressionBombError as error:
        raise PictureError(
            "size", f"the picture has more than {MAX_PIXELS} pixels: give a smaller one"
        ) from error
    except UnidentifiedImageError as error:
        raise PictureError("decode", "it is no picture of a known format") from error
    except Exception as error:
        raise PictureError("decode", str(error) or type(error).__name__) from error


def _check_webp(start: bytes) -> None:
    if size := webp_size(start):
        check_size(*size)


def _check_file(path: Path) -> None:
    if path.stat().st_size > MAX_BYTES:
        raise PictureError("size", f"the file has more than {MAX_BYTES} bytes: give a smaller one")
    with _readable():
        check_whole(path.read_bytes())


def _tag(image: Image.Image, number: int) -> int:
    value = getattr(image, "tag_v2", {}).get(number, 0)
    return value if isinstance(value, int) else 0


def _orientation(image: Image.Image) -> int:
    """How the camera was held, 1 to 8; 1 if the EXIF data cannot be read."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # odd tags are no reason to lose the picture
        return 1
    return value if isinstance(value, int) else 1


def _flat(image: Image.Image) -> Image.Image:
    """Transparent pixels as white: nobody sees the colours below them."""
    if image.mode not in ("RGBA", "LA", "PA", "RGBa", "La") and "transparency" not in image.info:
        return image
    if image.mode.startswith(("I", "F")):
        return image
    layer = image.convert("RGBA")
    if layer.getchannel("A").getextrema()[0] == 255:
        return layer.convert("RGB")
    ground = Image.new("RGBA", layer.size, "white")
    ground.alpha_composite(layer)
    return ground.convert("RGB")


def _values(image: Image.Image) -> np.ndarray:
    """(H, W) uint8 of a grey picture, (H, W, 3) uint8 RGB of another."""
    if image.mode == "L" or image.mode.startswith(("I", "F")):
        return to_8_bits(np.array(image))
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _rgb(image: Image.Image) -> np.ndarray:
    pixels = _values(image)
    return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
