"""Files of text, which may be compressed, and the names of their columns."""

from __future__ import annotations

import codecs
import gzip
import re
from pathlib import Path
from typing import Any, TextIO, cast


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


def column_name(text: str) -> str:
    """Return a column name with other characters than letters, digits and _ replaced by _."""
    return re.sub(r"\W+", "_", text.strip()).strip("_")
