"""One file of an image: formats, and how its pixels become those of an example.

A file is rotated by its EXIF tag, reduced to 8 bits, put on white where it is transparent, converted to grey or RGB,
and resized by its shorter side. Colour profiles are not applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
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


def load(place: Place | Path, size: int, channels: int, formats: Sequence[str] = tuple(KINDS)) -> tuple[Tensor, Facts]:
    """Return an image whose shorter side is `size`, uint8 (C, H, W), and the facts of its file.

    Arguments:
        place: The file, or the place of its bytes. The first page or frame is read.
        size: Shorter side in pixels; 0: unchanged.
        channels: 1 grey, 3 RGB.
        formats: Pillow's names of the accepted formats.

    Raises:
        OSError: The file cannot be read, or has another format. A damaged file can raise any error.
    """
    with opened_bytes(Place(place) if isinstance(place, Path) else place) as opened:
        return decode(opened, size, channels, formats)


def decode(opened: BinaryIO, size: int, channels: int, formats: Sequence[str] = tuple(KINDS)) -> tuple[Tensor, Facts]:
    """Return the image in an open file and its facts; arguments, result and errors as `load`."""
    with Image.open(opened, formats=supported(formats)) as file:
        facts = Facts(str(file.format), file.mode, *file.size, bool(getattr(file, "is_animated", False)))
        if size:
            file.draft(None, (2 * size, 2 * size))  # a JPEG is decoded no finer than needed
        upright = ImageOps.exif_transpose(file)
        return pixels_of(flatten(upright, facts.format), size, channels), facts


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
        return Image.fromarray((np.array(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its numbers (mode {image.mode}) have no known range; save it with 8 or 16 bits")
    if not image.has_transparency_data:
        return image
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return white


def shorter_side(image: Any, size: int) -> Any:
    """Return an image resized so that its shorter side is `size`."""
    scale = size / min(image.size)
    width, height = (max(size, round(scale * side)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3)
