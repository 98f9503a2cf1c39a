"""Files of text, which may be compressed, and the names of their columns."""

from __future__ import annotations

import codecs
import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, cast

from polydiff.support.errors import UserError

LONGEST = 2**24
"""Most characters of a line or a molecule: a larger one is no molecule, and might fill the memory."""


def kind_of(path: Path) -> str:
    """Return the kind of a file: its suffix before .gz, in lower case."""
    name = path.name.lower()
    return Path(name.removesuffix(".gz")).suffix


def opened(path: Path) -> TextIO:
    """Open a file, which may be compressed, as UTF-8 or, if it starts with its byte order mark, UTF-16.

    Invalid bytes become the replacement character.
    """
    unpack: Any = gzip.open if path.suffix.lower() == ".gz" else Path.open
    with unpack(path, "rb") as file:
        wide = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    encoding = "utf-16" if wide else "utf-8-sig"
    return cast("TextIO", unpack(path, mode="rt", encoding=encoding, errors="replace", newline=""))


@contextmanager
def lines_of(path: Path) -> Iterator[Iterator[str]]:
    """Open a file as `opened` does, and yield its lines.

    Raises:
        UserError: A line has more than `LONGEST` characters.
    """
    with opened(path) as file:
        yield checked(iter(lambda: file.readline(LONGEST + 1), ""), path)


def checked(lines: Iterator[str], path: Path) -> Iterator[str]:
    """Yield the lines of a file, none of which is too long."""
    for line in lines:
        check_length(len(line), path, "a line")
        yield line


def check_length(length: int, path: Path, what: str) -> int:
    """Return a number of characters; raise UserError if it is more than `LONGEST`."""
    if length > LONGEST:
        raise UserError(f"{path} holds {what} of more than {LONGEST:,} characters. Is it a file of molecules?")
    return length


def column_name(text: str) -> str:
    """Return a column name with other characters than letters, digits and _ replaced by _."""
    return re.sub(r"\W+", "_", text.strip()).strip("_")
