"""One file of an image: formats, and how its pixels become those of an example.

A file is rotated by its EXIF tag, reduced to 8 bits, put on white where it is transparent, converted to grey or RGB,
and resized by its shorter side. Colour profiles are not applied. The size in the header is checked before a pixel is
decoded, and files that are decoded at the same time have at most `LARGEST` pixels together.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from polydiff.contract.data.places import Place, opened_bytes

KINDS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jfif", ".jpe"),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "AVIF": (".avif",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}
"""Pillow's name of a format that is read -> its suffixes. Some of the formats that Pillow also supports run other
programs or have had security holes."""
SUFFIXES = frozenset(suffix for suffixes in KINDS.values() for suffix in suffixes)
EARLIER = {"PNG": (".png",), "JPEG": (".jpg", ".jpeg"), "WEBP": (".webp",), "BMP": (".bmp",), "TIFF": KINDS["TIFF"]}
"""The formats that were read when `data.rules` was 1."""
LARGEST = 178_956_970
"""Most pixels of an image, as stored and as resized; Pillow's own bound, half a gigabyte in colour."""


class Facts(NamedTuple):
    """What a file says of itself.

    Attributes:
        format: Pillow's name, such as PNG.
        mode: Pillow's mode of its pixels, such as RGBA.
        width: In pixels, as stored.
        height: In pixels, as stored.
        several: Whether it holds several pages or frames.
    """

    format: str
    mode: str
    width: int
    height: int
    several: bool

    @property
    def shorter(self) -> int:
        """The shorter side in pixels."""
        return min(self.width, self.height)


class Room:
    """Pixels that threads may decode at the same time; a thread waits until there is room for its image.

    Arguments:
        size: Number of pixels; a larger image is decoded alone.
    """

    def __init__(self, size: int) -> None:
        self.size = self.free = size
        self.changed = threading.Condition()

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Hold the room of this many pixels."""
        pixels = min(pixels, self.size)
        with self.changed:
            self.changed.wait_for(lambda: self.free >= pixels)
            self.free -= pixels
        try:
            yield
        finally:
            with self.changed:
                self.free += pixels
                self.changed.notify_all()


ROOM = Room(LARGEST)


def load(place: Place | Path, size: int, channels: int, formats: Sequence[str] = tuple(KINDS)) -> tuple[Tensor, Facts]:
    """Return an image whose shorter side is `size`, uint8 (C, H, W), and the facts of its file.

    Arguments:
        place: The file, or the place of its bytes. The first page or frame is read.
        size: Shorter side in pixels; 0: unchanged.
        channels: 1 grey, 3 RGB.
        formats: Pillow's names of the accepted formats.

    Raises:
        OSError: The file cannot be read, or has another format. A damaged file can raise any error.
        ValueError: It has too many pixels, or numbers without a known range.
    """
    with opened_bytes(Place(place) if isinstance(place, Path) else place) as opened:
        return decode(opened, size, channels, formats)


def decode(opened: BinaryIO, size: int, channels: int, formats: Sequence[str] = tuple(KINDS)) -> tuple[Tensor, Facts]:
    """Return the image in an open file and its facts; arguments, result and errors as `load`."""
    with open_image(opened, formats) as file:
        facts = Facts(str(file.format), file.mode, *file.size, bool(getattr(file, "is_animated", False)))
        resized = check_pixels(*file.size, size)
        if size:
            file.draft(None, (2 * size, 2 * size))  # a JPEG is decoded no finer than needed
        with ROOM.taken(max(resized, file.width * file.height)):
            upright = ImageOps.exif_transpose(file)
            return pixels_of(flatten(upright, facts.format), size, channels), facts


def open_image(opened: BinaryIO, formats: Sequence[str]) -> Image.Image:
    """Return Pillow's image of a file whose header is read and whose pixels are not.

    Raises:
        OSError: The file is empty or has none of these formats.
        ValueError: It has too many pixels.
    """
    try:
        return Image.open(opened, formats=supported(formats))
    except UnidentifiedImageError as error:
        opened.seek(0)
        kinds = ", ".join(supported(formats))
        reason = f"its beginning is that of no image ({kinds})" if opened.read(1) else "it is empty (0 bytes)"
        raise OSError(reason) from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"it has more than {LARGEST:,} pixels; reduce it first") from error


def check_pixels(width: int, height: int, size: int) -> int:
    """Return the number of pixels of an image whose shorter side is resized to `size` (0: unchanged).

    Raises:
        ValueError: It has more than `LARGEST` pixels, as stored or as resized.
    """
    if width * height > LARGEST:
        raise ValueError(f"it has {width} x {height} pixels, more than {LARGEST:,}; reduce it first")
    wide, high = resized_size((width, height), size) if size else (width, height)
    if wide * high > LARGEST:
        raise ValueError(
            f"it has {width} x {height} pixels; with a shorter side of {size}, it would have {wide} x {high}, more "
            f"than {LARGEST:,}. Cut it first"
        )
    return wide * high


def pixels_of(image: Any, size: int, channels: int) -> Tensor:
    """Return an opaque image of Pillow, grey or RGB, its shorter side `size` (0: unchanged), as uint8 (C, H, W)."""
    plain = image.convert("L" if channels == 1 else "RGB")
    pixels = np.array(shorter_side(plain, size) if size else plain)
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], channels)).permute(2, 0, 1).contiguous()


def supported(formats: Sequence[str]) -> list[str]:
    """Return those formats that the installed Pillow knows."""
    Image.init()
    return [name for name in formats if name in Image.OPEN]


def read(path: Path, size: int, channels: int) -> Tensor:
    """Return an image whose shorter side is `size` (0: unchanged), uint8 (C, H, W)."""
    return load(path, size, channels)[0]


def flatten(image: Any, kind: str = "") -> Any:
    """Return an image with 8 bits per channel, and on white where it is transparent.

    Arguments:
        image: Pillow's image.
        kind: Format of its file; PPM stores 16 bits as whole numbers of 32.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and kind == "PPM"):  # Pillow's own conversion clips at 255
        numbers = np.array(image)
        clear = image.info.get("transparency")  # the one value that is transparent
        return Image.fromarray(np.where(numbers == clear, 255, numbers >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its numbers (mode {image.mode}) have no known range; save it with 8 or 16 bits")
    if not image.has_transparency_data:
        return image.convert("RGB") if image.mode == "LAB" else image  # Pillow has no way from LAB to grey
    colour = image.info.get("transparency")
    if isinstance(colour, tuple) and max(colour) > 255:  # of a file of 16 bits, of which Pillow keeps the upper 8
        image.info["transparency"] = tuple(number >> 8 for number in colour)
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return white


def resized_size(sizes: tuple[int, int], size: int) -> tuple[int, int]:
    """Return width and height of an image after its shorter side is resized to `size`."""
    scale = size / min(sizes)
    width, height = (max(size, round(scale * side)) for side in sizes)
    return width, height


def shorter_side(image: Any, size: int) -> Any:
    """Return an image resized so that its shorter side is `size`."""
    return image.resize(resized_size(image.size, size), Image.Resampling.LANCZOS, reducing_gap=3)
