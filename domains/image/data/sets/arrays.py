"""Images in numpy's files: an archive .npz, one array .npy, or a folder of .npy files with such names as keys.

Keys are x, images, image, data or arr_0 for images, and y, labels, label, targets or arr_1 for classes, with a split
before or after them: x_train, test_images. `class_names` or `classes` names the classes. Other arrays with one text or
number for each image are columns. Pickles are not read.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as numpy_format
from numpy.typing import NDArray

from polydiff.contract.data.columns import LABEL
from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.data.splits import NAMES
from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data.sets.parts import (
    MODES,
    MOST,
    Part,
    count_ignored,
    holds_pictures,
    in_order,
    names_of_numbers,
    source_of,
)
from polydiff.domains.image.data.source import Source
from polydiff.support.errors import UserError, one_line

IMAGES = ("x", "images", "image", "data", "arr_0")
LABELS = ("y", "labels", "label", "targets", "arr_1")
CLASSES = ("class_names", "classes", "label_names")
"""Keys of an archive, without a split."""
SIDES = "|".join(NAMES)
KEY = re.compile(rf"(?:({SIDES})_)?(.+?)(?:_({SIDES}))?")
"""Key of an archive: split, content, split."""


class Key(NamedTuple):
    """What the key of an array means: "" or train, test or validation, and the content."""

    split: str
    content: str


Opened = Callable[[], AbstractContextManager[IO[bytes]]]
"""Opens an array."""


def recognises(path: Path) -> bool:
    """Return whether a path is numpy's file, or a folder of one .npz or of .npy files with known names."""
    return path.suffix.lower() in (".npz", ".npy") if path.is_file() else bool(files_in(path))


def files_in(path: Path) -> list[Path]:
    """Return the files in a folder that are read, [] if it is not such a data set."""
    if not path.is_dir():
        return []
    own = [one for one in sorted(path.iterdir()) if one.is_file() and not one.name.startswith(".")]
    archives = [one for one in own if one.suffix.lower() == ".npz"]
    if len(archives) != 1:
        archives = [one for one in own if one.suffix.lower() == ".npy"]
        archives = archives if any(key_of(one.stem).content in IMAGES for one in archives) else []
    return archives if archives and not holds_pictures(path) else []


def key_of(text: str) -> Key:
    """Return the meaning of a key."""
    match = KEY.fullmatch(text.lower())
    return Key(NAMES.get(match[1] or match[3] or "", ""), match[2]) if match else Key("", text)


def read(data: ImageData) -> Source:
    """Return the data set.

    Raises:
        UserError: A file is damaged, holds no images, or holds numbers whose range is unknown.
    """
    assert data.path is not None
    quarantine = Quarantine(str(data.path), "images")
    files = files_in(data.path) if data.path.is_dir() else [data.path]
    if data.path.is_dir():
        count_ignored(data.path, files, quarantine)
    arrays: dict[str, NDArray[Any]] = {}
    for file in files:
        arrays |= read_npz(file) if file.suffix.lower() == ".npz" else {file.stem: read_npy(file)}
    if data.path.suffix.lower() == ".npy":
        arrays = {"images": next(iter(arrays.values()))}
    found = {key_of(name): array for name, array in arrays.items()}
    splits = [key.split for key in found if key.content in IMAGES]
    if not splits:
        named = ", ".join(arrays) or "nothing"
        raise UserError(f"{data.path} holds {named}, but no images (x, images or arr_0; or x_train and x_test).")
    listed = next((found[key] for key in (Key("", name) for name in CLASSES) if key in found), np.array([], str))
    names = [str(name) for name in listed.ravel()]
    parts = [part_of(found, split, names, data.path) for split in dict.fromkeys(splits)]
    order = names or in_order({row[LABEL] for part in parts for row in part.columns if LABEL in row})
    return source_of(parts, data, quarantine, order, "numpy")


def part_of(found: Mapping[Key, NDArray[Any]], split: str, names: list[str], path: Path) -> Part:
    """Return the images of a split.

    Arguments:
        found: The arrays by key.
        split: The split; "": none is stated.
        names: Names of the classes; [] if unknown.
        path: The data set.
    """
    own = {key.content: array for key, array in found.items() if key.split == split and key.content not in CLASSES}
    name = next(name for name in IMAGES if name in own)
    pixels, odd = pixels_in(own.pop(name), f"{path}: {split} {name}".replace(":  ", ": "))
    rows: list[dict[str, Any]] = [{} for _ in pixels]
    for content, array in own.items():
        column = LABEL if content in LABELS else content
        values = array.reshape(-1) if column == LABEL and array.ndim == 2 and array.shape[1] == 1 else array
        if column == LABEL and (values.shape != (len(pixels),) or values.dtype.kind not in "uibUS"):
            raise UserError(
                f"{path}: {content} is {array.dtype} {array.shape}, not the class of each of {len(pixels)} images: "
                f"whole numbers or text of shape ({len(pixels)},)."
            )
        if values.shape == (len(pixels),) and values.dtype.kind in "uibfUS":
            for row, value in zip(rows, in_words(values, names if column == LABEL else None), strict=True):
                row.update({column: value} if value not in ("", None) else {})
    return Part(f"{split or 'images'}", pixels, rows, split, odd)


def in_words(values: NDArray[Any], names: list[str] | None) -> list[Any]:
    """Return a column as plain values; of classes, with `names` of numbers or [] if unknown, as text."""
    plain = [one.decode("utf-8", "replace") if isinstance(one, bytes) else one for one in values.tolist()]
    if names is None or values.dtype.kind in "US":
        return [None if one != one else one for one in plain]  # NaN is the only value unequal to itself
    return names_of_numbers([int(one) for one in plain], names)


def pixels_in(array: NDArray[Any], source: str) -> tuple[NDArray[np.uint8], dict[int, str]]:
    """Return images as uint8 (N, H, W, C), and the reasons of those that cannot be used.

    Arguments:
        array: (N, H, W), (N, H, W, C) or (N, C, H, W) with 1, 3 or 4 channels; whole numbers from 0 to 255,
            floating-point numbers from 0 to 1, or booleans.
        source: Where it is, for messages.

    Raises:
        UserError: It has another shape, or other numbers.
    """
    shaped = array[..., None] if array.ndim == 3 else array
    if shaped.ndim == 4 and shaped.shape[3] not in MODES and shaped.shape[1] in MODES:
        shaped = shaped.transpose(0, 2, 3, 1)
    if shaped.ndim != 4 or shaped.shape[3] not in MODES or 0 in shaped.shape[1:]:
        raise UserError(
            f"{source} has the shape {array.shape}, not (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1, 3 or 4."
        )
    kind = shaped.dtype.kind
    if kind == "b":
        return 255 * shaped.astype(np.uint8), {}
    if shaped.dtype == np.uint8:
        return shaped, {}
    if kind not in "uif":
        raise UserError(f"{source} has the type {array.dtype}, not uint8.")
    odd = {i: "it has numbers that are not finite" for i, one in enumerate(shaped) if not np.isfinite(one).all()}
    good = np.delete(shaped, list(odd), 0) if odd else shaped
    low, high = (float(good.min()), float(good.max())) if good.size else (0.0, 0.0)
    if low < 0 or high > (1 if kind == "f" else 255):
        raise UserError(
            f"{source} has numbers of the type {array.dtype} from {low:g} to {high:g}. Save images as uint8, "
            "or as floating-point numbers from 0 to 1."
        )
    return to_bytes(shaped, kind), odd


def to_bytes(shaped: NDArray[Any], kind: str) -> NDArray[np.uint8]:
    """Return numbers from 0 to 1 (kind f) or from 0 to 255 as uint8, image by image; what is not finite becomes 0."""
    result = np.empty(shaped.shape, np.uint8)
    for one, given in zip(result, shaped, strict=True):
        one[...] = np.rint(255 * np.nan_to_num(given, posinf=0, neginf=0)) if kind == "f" else given
    return result


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of an archive by key."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [one for one in archive.infolist() if one.filename.endswith(".npy")]
            return {one.filename.removesuffix(".npy"): member(archive, one, path) for one in members}
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path} cannot be read as an archive of arrays (.npz): {one_line(error)}.") from error


def member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> NDArray[Any]:
    """Return an array of an archive; `path` is used in messages."""
    return checked(lambda: archive.open(info), info.file_size, f"{path}: {info.filename}")


def read_npy(path: Path) -> NDArray[Any]:
    """Return the array of a file."""
    return checked(lambda: path.open("rb"), path.stat().st_size, str(path))


def checked(opened: Opened, size: int, source: str) -> NDArray[Any]:
    """Return an array whose header fits its size.

    Arguments:
        opened: Opens its bytes.
        size: Number of bytes.
        source: Where it is, for messages.

    Raises:
        UserError: It is damaged, is an array of objects (a pickle), or its header does not fit.
    """
    try:
        with opened() as file:
            major, _ = numpy_format.read_magic(file)
            read_header = numpy_format.read_array_header_1_0 if major == 1 else numpy_format.read_array_header_2_0
            shape, _, dtype = read_header(file)
            stated = file.tell() + math.prod(shape) * dtype.itemsize
        if dtype.hasobject:
            raise ValueError("it holds Python objects (a pickle), which are not read")
        if stated > min(size, MOST):
            raise ValueError(f"its header states {stated} bytes, the shape {shape}, but {min(size, MOST)} can be read")
        with opened() as file:
            return np.asarray(numpy_format.read_array(file, allow_pickle=False))
    except Exception as error:
        raise UserError(f"{source} cannot be read as an array: {one_line(error)}.") from error
