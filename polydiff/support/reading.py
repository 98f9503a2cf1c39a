"""Reading files that others may have written: regular files only, of bounded size, and JSON without surprises."""

from __future__ import annotations

import json
import math
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from pydantic import BaseModel, ConfigDict, ValidationError

MOST = 64 * 2**20
"""Largest size in bytes of a JSON file or a text that is read whole."""


def read_regular(path: Path, most: int = MOST) -> bytes:
    """Return the content of a regular file; pipes and devices, which may never end, are not opened.

    Arguments:
        path: The file, or a link to a file in the same folder or below, or within a cache of the hub (`trees_of`).
        most: Largest size in bytes.

    Raises:
        OSError: The file does not exist or cannot be read.
        ValueError: It is no regular file, is a link that leaves its folder, or is larger than `most`.
    """
    with open_regular(path, most) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"{path.name} grows while it is read")
    return data


@contextmanager
def open_regular(path: Path, most: int = sys.maxsize) -> Iterator[BinaryIO]:
    """Open a regular file as a context; arguments and errors as of `read_regular`."""
    real = followed(path)
    if path.is_symlink() and not any(map(real.is_relative_to, trees_of(path.parent.resolve()))):
        raise ValueError(f"{path.name} is a link to {real}, outside its folder")
    check_regular(path.name, real.stat(), most)
    descriptor = os.open(real, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(descriptor, "rb") as file:
        check_regular(path.name, os.fstat(descriptor), most)  # it may have been replaced in the meantime
        yield file


def trees_of(folder: Path) -> list[Path]:
    """Return the folders that a link in a folder may not leave: that folder itself, and two of a cache of the hub.

    There, models--user--name/snapshots/COMMIT/... are links into models--user--name/blobs/, of which some are links
    into blobs/ beside models--user--name.
    """
    for place in (folder, *folder.parents):
        repository = place.parent.parent
        if place.parent.name == "snapshots" and repository.name.startswith("models--"):
            return [folder, repository / "blobs", repository.parent / "blobs"]
    return [folder]


def followed(path: Path) -> Path:
    """Return where a path leads; ValueError if it is a link to itself."""
    try:
        return path.resolve()
    except RuntimeError:  # Python 3.11 and 3.12
        raise ValueError(f"{path.name} is a link to itself") from None


def check_regular(name: str, facts: os.stat_result, most: int) -> None:
    """Raise ValueError unless the facts of a file are those of a regular one of at most `most` bytes."""
    if not stat.S_ISREG(facts.st_mode):
        raise ValueError(f"{name} is {'a folder' if stat.S_ISDIR(facts.st_mode) else 'a pipe or device'}, not a file")
    if facts.st_size > most:
        raise ValueError(f"{name} has {facts.st_size:,} bytes, more than {most:,}")


def parse_json(data: bytes) -> Any:
    """Return the value of a JSON text in UTF-8.

    Raises:
        ValueError: It is not JSON, is nested too deeply, or holds a number that is not finite.
    """
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=not_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not all_finite(value):
        not_finite("a number beyond 1e308")
    return value


def not_finite(text: str) -> NoReturn:
    """Raise the error for a number in JSON that is not finite."""
    raise ValueError(f"it holds {text}, which is not a finite number")


def all_finite(value: Any) -> bool:
    """Return whether all numbers in a JSON value are finite."""
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, float) and not math.isfinite(part):
            return False
        if isinstance(part, dict | list):
            pending += part.values() if isinstance(part, dict) else part
    return True


def reason(error: Exception) -> str:
    """Return the message of an error of reading without its number and path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


class Strict(BaseModel):
    """A part of a JSON file: values are not converted; keys that are not declared are allowed."""

    model_config = ConfigDict(extra="allow", strict=True)


def first_problem(error: ValidationError) -> str:
    """Return the first problem of a validation as text: the key, and what is wrong."""
    first = error.errors(include_url=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    return ": ".join(filter(None, (".".join(map(str, first["loc"])), f"{message[:1].lower()}{message[1:]}")))
