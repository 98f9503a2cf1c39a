"""Lines of metrics.jsonl: a damaged one costs itself alone, since a run is resumed from its checkpoint."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from polydiff.support.errors import UserError
from polydiff.support.reading import read_regular, reason

MOST = 2**31
"""Largest size of metrics.jsonl in bytes."""


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of metrics.jsonl. Lines that are no records are skipped with one warning that names them.

    A last line that a crash cut short is skipped without a warning.

    Raises:
        UserError: The file is no regular file or cannot be read.
    """
    if not os.path.lexists(path):
        return
    try:
        lines = read_regular(path, MOST).split(b"\n")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {reason(error)}. Move it away.") from error
    odd = []
    for i, line in enumerate(lines, 1):
        record = parse_record(line)
        if record is not None:
            yield record
        elif line.strip() and i < len(lines):  # the last part stands behind the last line break: it was cut short
            odd.append(i)
    if odd:
        named = ", ".join(map(str, odd[:10])) + (", ..." if odd[10:] else "")
        what = f"line {named}, which is no record" if len(odd) == 1 else f"lines {named}, which are no records"
        warnings.warn(f"{path}: skipped {what} of a training step.", stacklevel=2)


def parse_record(line: bytes) -> dict[str, Any] | None:
    """Return a line of metrics.jsonl: an object with a step, and numbers or null; None if it is something else."""
    try:
        record = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or type(record.get("step")) is not int or not 0 <= record["step"] < 10**15:
        return None
    numbers = all(value is None or is_number(value) for key, value in record.items() if key != "bins")
    return record if numbers and are_bins(record.get("bins", {})) else None


def is_number(value: object) -> bool:
    """Return whether a JSON value is a number that a float can hold; NaN and Infinity are."""
    return type(value) is float or (type(value) is int and abs(value) < 1e300)


def are_bins(bins: object) -> bool:
    """Return whether a JSON value is the loss in bins of the log-SNR: {"-2": [mean, number of examples]}."""
    return isinstance(bins, dict) and all(is_bin(start, pair) for start, pair in bins.items())


def is_bin(start: str, pair: object) -> bool:
    """Return whether a key and a value are one bin of the loss."""
    try:
        finite = math.isfinite(float(start))
    except ValueError:
        return False
    if not (finite and isinstance(pair, list) and len(pair) == 2 and all(map(is_number, pair))):
        return False
    return type(pair[1]) is int and pair[1] > 0
