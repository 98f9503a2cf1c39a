"""MNIST, Fashion-MNIST and others in the idx format (http://yann.lecun.com/exdb/mnist): arrays of bytes with a header.

A file begins with 0, 0, the type of its numbers (8: bytes) and the number of its dimensions, followed by their sizes as
big-endian numbers of 32 bits. Names have `-idx3-` or `.idx3-`; a file may be compressed (.gz).
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from polydiff.contract.data.columns import LABEL
from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.data.splits import TEST, TRAIN
from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data.sets.parts import (
    MOST,
    Part,
    count_ignored,
    in_order,
    lines_in,
    names_of_numbers,
    source_of,
)
from polydiff.domains.image.data.source import Source
from polydiff.support.errors import UserError, amount

NAME = re.compile(r"(?:(.+)-)?(train|t10k|test)-(images|labels)[-.]idx[13](?:-ubyte)?(?:\.gz)?")
"""Name of a file: set, split, content."""
CLASSES = "classes.txt"
"""File with the name of a class on each line, beside the others."""
FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
"""Classes of Fashion-MNIST, whose files have the names of MNIST's."""
BYTES = 8
"""Type of unsigned bytes."""


def recognises(path: Path) -> bool:
    """Return whether a folder, or the folder `raw` in it, holds images in the idx format."""
    return bool(files_in(path))


def files_in(path: Path) -> dict[tuple[str, str], Path]:
    """Return (split, content) -> file; of a file and its compressed copy, the former.

    Raises:
        UserError: The folder holds files of several sets.
    """
    for folder in (path, path / "raw"):
        named = {one: NAME.fullmatch(one.name) for one in sorted(folder.iterdir())} if folder.is_dir() else {}
        matched = {one: match for one, match in named.items() if match and one.is_file()}
        if sets := {match[1] or "" for match in matched.values()}:
            if len(sets) > 1:
                listed = ", ".join(sorted(sets))
                raise UserError(
                    f"{folder} holds several sets: {listed}. Move the files of each into a folder of its own."
                )
            found: dict[tuple[str, str], Path] = {}
            for one, match in matched.items():
                found.setdefault((TRAIN if match[2] == "train" else TEST, match[3]), one)
            return found if any(content == "images" for _, content in found) else {}
    return {}


def read(data: ImageData) -> Source:
    """Return the data set, with the splits of its files.

    Raises:
        UserError: A file is damaged, or there are not as many labels as images.
    """
    assert data.path is not None
    quarantine = Quarantine(str(data.path), "images")
    files = files_in(data.path)
    folder = next(iter(files.values())).parent
    names = lines_in(folder / CLASSES)
    if not names and any("fashion" in part.lower() for part in folder.resolve().parts[-3:]):
        names = list(FASHION)
    parts = []
    for (split, content), path in files.items():
        if content == "images":
            pixels = read_idx(path, 3)
            labelled = files.get((split, "labels"))
            labels = names_of_numbers(read_idx(labelled, 1).tolist(), names) if labelled else [""] * len(pixels)
            if len(labels) != len(pixels):
                raise UserError(
                    f"{path} has {amount(len(pixels), 'image')}, but {labelled} has {amount(len(labels), 'label')}."
                )
            rows = [{LABEL: name} if name else {} for name in labels]
            parts.append(Part(path.name, pixels[..., None], rows, split))
    count_ignored(folder, [*files.values(), *(one for one in [folder / CLASSES] if one.is_file())], quarantine)
    quarantine.ignored.pop(".gz", None)  # compressed copies of what is read
    order = names or in_order({row[LABEL] for part in parts for row in part.columns if row})
    return source_of(parts, data, quarantine, order, "idx")


def read_idx(path: Path, dims: int) -> NDArray[np.uint8]:
    """Return the array of a file.

    Arguments:
        path: The file.
        dims: Its number of dimensions.

    Raises:
        UserError: The file is damaged, is not in this format, or its header does not fit its size.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return array_in(file, path, dims)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}.") from error


def array_in(file: BinaryIO | gzip.GzipFile, path: Path, dims: int) -> NDArray[np.uint8]:
    """Return the array of an open file; arguments and errors as `read_idx`."""
    head = file.read(4 + 4 * dims)
    if head[:4] != bytes((0, 0, BYTES, dims)) or len(head) < 4 + 4 * dims:
        raise UserError(f"{path} does not begin as an idx file of bytes with {dims} dimensions does.")
    shape = tuple(int(n) for n in np.frombuffer(head[4:], ">u4"))
    size = math.prod(shape)
    if size > MOST or not all(shape[1:]):
        raise UserError(f"{path}: its header states the shape {shape}, which is not read (at most {MOST} bytes).")
    content = file.read(size + 1)  # no more memory than the file fills
    if len(content) != size:
        more = "more" if len(content) > size else f"{len(content)}"
        raise UserError(f"{path}: its header states {size} bytes, the shape {shape}, but it holds {more}.")
    return np.frombuffer(content, np.uint8).reshape(shape)
