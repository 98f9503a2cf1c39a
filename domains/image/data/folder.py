"""Images from a folder of files: png, jpeg, webp, bmp and tiff, read by Pillow.

Every file is decoded once, rotated by its EXIF tag, resized by its shorter side, and kept in memory. A file that cannot
be read is excluded with its reason. If more than one in twenty is excluded, the run stops.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from polydiff.contract.quarantine import Quarantine
from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data.source import Source, Split, centre
from polydiff.support.errors import UserError
from polydiff.support.files import files_under

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
"""Formats that are read. Pillow supports many more; some of them run other programs or have had security holes."""
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})


def folder(data: ImageData) -> Source:
    """Return the images of a folder, with its subfolders as classes if `class_names` finds any."""
    assert data.path is not None
    quarantine = Quarantine(str(data.path), "images")
    paths = scan(data.path, quarantine)
    read = read_all(data.path, paths, data, quarantine)
    names = class_names(data.path, list(read), data.labels)
    parts: dict[str, list[str]] = {"train": [], "test": []}
    bound = held_out_below([lot(name) for name in read], data.test_share)
    for name in read:
        parts["test" if lot(name) < bound else "train"].append(name)

    def split(members: list[str]) -> Split:
        labels = [names.index(class_of(name)) if names else -1 for name in members]
        images = [read[name] for name in members]
        return Split(torch.stack(images) if data.crop == "centre" else images, torch.tensor(labels), data.side, members)

    return Source(names, {part: split(members) for part, members in parts.items()}, quarantine=quarantine)


def scan(root: Path, quarantine: Quarantine) -> list[str]:
    """Return the names of the images under a folder, in order, without hidden ones (.name)."""
    if not root.is_dir():
        raise UserError(f"data.path={root} is not a folder.")
    odd: dict[str, str] = {}
    names = [path.relative_to(root).as_posix() for path in files_under(root, SUFFIXES, odd=odd)]
    for name, reason in odd.items():
        quarantine.exclude(name, reason)
    quarantine.found = len(names) + len(odd)
    if len(names) < 2:
        listed = ", ".join(sorted(SUFFIXES))
        raise UserError(
            f"{root} holds {len(names)} images ({listed}); it needs at least two, one to train on and one to test."
        )
    return names


def read_all(root: Path, names: Sequence[str], data: ImageData, quarantine: Quarantine) -> dict[str, Tensor]:
    """Return name -> image, uint8 (C, H, W), of all readable files.

    Arguments:
        root: Folder of the images.
        names: Paths of the files, relative to the folder.
        data: Gives side, channels and crop; with crop=centre only the middle square is kept.
        quarantine: Records the other files with reasons.

    Raises:
        UserError: Too many files cannot be read (`Quarantine.check`).
    """

    def attempt(name: str) -> Tensor | str:
        try:
            image = read(root / name, data.side, data.planes)
        except Exception as error:  # noqa: BLE001 - a decoder may fail in any way; the file is listed with its reason
            return f"{type(error).__name__}: {error}"
        return centre(image, data.side) if data.crop == "centre" else image

    with ThreadPoolExecutor(thread_name_prefix="polydiff-images") as pool:
        results = dict(zip(names, pool.map(attempt, names), strict=True))
    for name, result in results.items():
        if isinstance(result, str):
            quarantine.exclude(name, result)
    quarantine.check()
    if quarantine.reasons:
        warnings.warn(f"{quarantine.text()}\nThey are left out.", stacklevel=2)
    return {name: image for name, image in results.items() if not isinstance(image, str)}


def read(path: Path, size: int, channels: int) -> Tensor:
    """Return an image whose shorter side is `size`, uint8 (C, H, W)."""
    with Image.open(path, formats=FORMATS) as file:
        file.draft(None, (2 * size, 2 * size))  # a JPEG is decoded no finer than needed
        upright = ImageOps.exif_transpose(file)
        plain = flatten(upright).convert("L" if channels == 1 else "RGB")
    pixels = np.array(shorter_side(plain, size))
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], channels)).permute(2, 0, 1).contiguous()


def shorter(path: Path) -> int:
    """Return the shorter side of an image's file in pixels."""
    with Image.open(path, formats=FORMATS) as file:
        return min(file.size)


def flatten(image: Any) -> Any:
    """Return an image with 8 bits per channel, and on white where it is transparent."""
    if image.mode.startswith("I;16"):  # Pillow's own conversion would clip at 255
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


def class_of(name: str) -> str:
    """Return the top folder of a file's name, "" for a file beside the folders."""
    return name.rpartition("/")[0].partition("/")[0]


def class_names(root: Path, names: Sequence[str], labels: str) -> tuple[str, ...]:
    """Return the names of the classes, () if the folders are not classes."""
    loose = [name for name in names if not class_of(name)]
    found = sorted({class_of(name) for name in names} - {""})
    if labels == "none" or (labels == "auto" and (loose or len(found) < 2)):
        return ()
    if loose:
        raise UserError(f"{root}: {loose[0]} lies beside the class folders. Move it, or set data.labels=none.")
    return tuple(found)


def lot(name: str) -> float:
    """Return a number in [0, 1) that depends on a file's name alone."""
    return int.from_bytes(hashlib.blake2b(os.fsencode(name), digest_size=6).digest()) / 2**48


def held_out_below(lots: Sequence[float], share: float) -> float:
    """Return the lot below which a file is held out: `share`, moved so that each split has at least one file.

    Files are held out by their names, so that adding files moves no other file from one split to the other.
    """
    ordered = sorted(lots)
    return min(max(share, ordered[1]), ordered[-1])
