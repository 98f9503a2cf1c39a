"""CIFAR-10 and CIFAR-100: the binary and the python version (https://www.cs.toronto.edu/~kriz/cifar.html).

A record of the binary version is a label (CIFAR-100: the coarse and the fine one), then the red, green and blue
plane of 32 x 32 pixels. The python version is pickle, which `pickles` reads without running anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from polydiff.contract.data.columns import LABEL
from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.data.splits import TEST, TRAIN
from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data.sets.parts import Part, count_ignored, lines_in, source_of
from polydiff.domains.image.data.sets.pickles import read_pickle
from polydiff.domains.image.data.source import Source
from polydiff.support.errors import UserError
from polydiff.support.reading import read_regular

FOLDERS = ("cifar-10-batches-bin", "cifar-10-batches-py", "cifar-100-binary", "cifar-100-python")
"""Names of the folders in the archives."""
COARSE = "coarse"
"""Column of the coarse label of CIFAR-100."""
PIXELS = 3 * 32 * 32
"""Bytes of an image."""
LARGEST = 2**30
"""Largest size of a file in bytes."""
BATCHES = 5
"""Number of training files of CIFAR-10."""


class Version(NamedTuple):
    """A version of the data set.

    Attributes:
        kind: Its name.
        files: Pattern of its files of images.
        names: File of the names of classes, and their key in a pickle.
        coarse: File of the names of coarse classes, and their key; ("", "") for CIFAR-10.
        binary: Whether it is the binary version.
    """

    kind: str
    files: re.Pattern[str]
    names: tuple[str, str]
    coarse: tuple[str, str]
    binary: bool


VERSIONS = (
    Version("CIFAR-10", re.compile(r"(data_batch_\d|test_batch)\.bin"), ("batches.meta.txt", ""), ("", ""), True),
    Version("CIFAR-10", re.compile(r"data_batch_\d|test_batch"), ("batches.meta", "label_names"), ("", ""), False),
    Version(
        "CIFAR-100",
        re.compile(r"(train|test)\.bin"),
        ("fine_label_names.txt", ""),
        ("coarse_label_names.txt", ""),
        True,
    ),
    Version("CIFAR-100", re.compile("train|test"), ("meta", "fine_label_names"), ("meta", "coarse_label_names"), False),
)


def recognises(path: Path) -> bool:
    """Return whether a path is CIFAR-10 or CIFAR-100, or a folder with one of their folders in it."""
    return found_in(path) is not None


def found_in(path: Path) -> tuple[Path, Version] | None:
    """Return the folder of the data set and its version, None if there is none."""
    for folder in (path, *(path / name for name in FOLDERS)):
        for version in VERSIONS:
            if files_of(folder, version) and (version.kind == "CIFAR-10" or (folder / version.names[0]).is_file()):
                return folder, version
    return None


def files_of(folder: Path, version: Version) -> list[Path]:
    """Return the files of images, in the order of their names."""
    if not folder.is_dir():
        return []
    return sorted(one for one in folder.iterdir() if version.files.fullmatch(one.name) and one.is_file())


def read(data: ImageData) -> Source:
    """Return the data set; the class is the label, of CIFAR-100 the fine one, with the coarse one in a column.

    Raises:
        UserError: A file is damaged, or holds something else.
    """
    assert data.path is not None
    found = found_in(data.path)
    assert found is not None
    folder, version = found
    quarantine = Quarantine(str(data.path), "images")
    files = files_of(folder, version)
    names, coarse = (names_in(folder, *place, version.binary) for place in (version.names, version.coarse))
    parts = [read_part(one, version, names, coarse, quarantine) for one in files]
    count_ignored(folder, [*files, folder / version.names[0], folder / (version.coarse[0] or "-")], quarantine)
    quarantine.ignored.pop(".html", None)  # the readme of every archive
    trained = sum(part.split == TRAIN for part in parts)
    if version.kind == "CIFAR-10" and trained < BATCHES:
        quarantine.notes["files"] = f"{trained} of the {BATCHES} training files are there"
    order = names or sorted({str(row[LABEL]) for part in parts for row in part.columns}, key=int)
    return source_of(parts, data, quarantine, order, version.kind)


def names_in(folder: Path, file: str, key: str, binary: bool) -> list[str]:
    """Return the names of classes, [] if there is no file of them.

    Arguments:
        folder: Folder of the data set.
        file: File of the names; "": none.
        key: Their key, if the file is a pickle.
        binary: Whether the file is text.
    """
    path = folder / file
    if not file or not path.is_file():
        return []
    return lines_in(path) if binary else [word(one) for one in listed(batch_in(path), key, path)]


def read_part(path: Path, version: Version, names: list[str], coarse: list[str], quarantine: Quarantine) -> Part:
    """Return the images of one file.

    Arguments:
        path: The file.
        version: Version of the data set.
        names: Names of the classes, [] if unknown.
        coarse: Names of the coarse classes, [] if unknown.
        quarantine: Receives a record that is cut off.
    """
    read_records = binary_records if version.binary else pickled_records
    labels, pixels = read_records(path, version.kind, quarantine)
    odd, rows = {}, []
    for i, numbers in enumerate(labels.tolist()):
        known = [(LABEL, numbers[-1], names), (COARSE, numbers[0], coarse)][: len(numbers)]
        row = {}
        for column, number, words in known:
            if words and not 0 <= number < len(words):
                odd[i] = f"its label is {number}, but there are {len(words)} classes"
            else:
                row[column] = words[number] if words else str(number)
        rows.append(row)
    split = TEST if path.name.startswith("test") else TRAIN
    return Part(path.name, pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), rows, split, odd)


def binary_records(path: Path, kind: str, quarantine: Quarantine) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return labels (N, 1 or 2) and pixels (N, 3072) of a binary file; exclude a record that is cut off."""
    content = np.frombuffer(regular(path), np.uint8)
    size = PIXELS + (2 if kind == "CIFAR-100" else 1)
    n, rest = divmod(len(content), size)
    if rest:
        quarantine.found += quarantine.exclude(f"{path.name}[{n}]", f"the file ends after {rest} of its {size} bytes")
    records = content[: n * size].reshape(n, size)
    return records[:, :-PIXELS].astype(np.int64), records[:, -PIXELS:]


def pickled_records(path: Path, kind: str, quarantine: Quarantine) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return labels (N, 1 or 2) and pixels (N, 3072) of a file of the python version."""
    batch = batch_in(path)
    keys = ("coarse_labels", "fine_labels") if kind == "CIFAR-100" else ("labels",)
    columns = [listed(batch, key, path) for key in keys]
    pixels = batch.get("data")
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != (len(columns[0]), PIXELS):
        raise UserError(f"{path}: its `data` is not an array uint8 (N, {PIXELS}) with a row for each label.")
    if not all(type(one) is int for column in columns for one in column) or len({*map(len, columns)}) > 1:
        raise UserError(f"{path}: its {' and '.join(keys)} are not whole numbers, one for each image.")
    return np.array(columns, np.int64).reshape(len(keys), -1).T, pixels


def batch_in(path: Path) -> Mapping[str, Any]:
    """Return the dict in a pickle, by names."""
    value = read_pickle(regular(path), path)
    if not isinstance(value, dict):
        raise UserError(f"{path} holds a {type(value).__name__}, not the dict of a CIFAR file.")
    return {word(key): one for key, one in value.items()}


def regular(path: Path) -> bytes:
    """Return the content of a file of at most `LARGEST` bytes."""
    try:
        return read_regular(path.resolve(), LARGEST)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from error


def listed(batch: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    """Return a list of a batch."""
    if not isinstance(batch.get(key), list):
        raise UserError(f"{path} has no list `{key}`, so it is no file of CIFAR's python version.")
    return list(batch[key])


def word(value: Any) -> str:
    """Return text, or bytes as text."""
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
