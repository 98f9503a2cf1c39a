"""Drafts of long preparations, beside their folder in the cache, from which an interrupted preparation is resumed.

A draft has one line of JSON per item, in the order of the data, with its number. Reading stops at a line that is
incomplete or whose number differs from its position, which a full disk or a removed file can cause. Preparations that
run at the same time each write a draft. When one is complete, all drafts are removed.
"""

from __future__ import annotations

import base64
import contextlib
import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from polydiff.domains.molecule.chemistry.bonds import COLUMNS
from polydiff.domains.molecule.chemistry.geometry import Rejected
from polydiff.domains.molecule.data.library import Entry

OPTIONAL: dict[str, type[np.generic]] = {"bonds": np.uint16, "charges": np.int8}
"""Arrays of an entry that may be unknown, and their types."""
EVERY_SECONDS = 10.0
"""Time between writes; a shorter preparation writes no draft."""


def draft_files(folder: Path) -> list[Path]:
    """Return the drafts of a folder of the cache."""
    return sorted(folder.parent.glob(f".{folder.name}.*.part"))


def longest_draft(folder: Path) -> list[Entry | Rejected]:
    """Return the results in the longest draft of a folder; [] if it has none."""
    return max((list(read_draft(path)) for path in draft_files(folder)), key=len, default=[])


def read_draft(path: Path) -> Iterator[Entry | Rejected]:
    """Yield the results in a draft, up to the first line that is incomplete or out of order."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError), path.open("rb") as file:
        for number, line in enumerate(file):
            values = json.loads(line)
            if not line.endswith(b"\n") or values.pop("number") != number:
                return
            yield from_json(values)


class Draft:
    """The results of one preparation so far.

    Arguments:
        folder: Folder of the cache for the complete library; None: no draft is read or written.

    Attributes:
        known: Results of an earlier, interrupted preparation.
    """

    def __init__(self, folder: Path | None) -> None:
        self.path = folder and folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:12]}.part")
        self.known = [] if folder is None else longest_draft(folder)
        self.waiting = [as_json(entry, number) for number, entry in enumerate(self.known)]
        self.count, self.last_write = len(self.known), time.monotonic()

    def add(self, entry: Entry | Rejected) -> None:
        """Add the result of the next item; write all new results to the draft every `EVERY_SECONDS`."""
        if self.path is None:
            return
        self.waiting.append(as_json(entry, self.count))
        self.count += 1
        if time.monotonic() - self.last_write >= EVERY_SECONDS:
            with contextlib.suppress(OSError):  # cached_library warns at the end if the cache is not writable
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("ab") as file:
                    file.write("".join(self.waiting).encode())
                self.waiting.clear()
            self.last_write = time.monotonic()


def remove_drafts(folder: Path) -> None:
    """Remove the drafts of a folder whose library is complete."""
    for path in draft_files(folder):
        with contextlib.suppress(OSError):  # another process has removed it
            path.unlink()


def as_json(entry: Entry | Rejected, number: int) -> str:
    """Return the line of a draft for the result of item `number`."""
    if isinstance(entry, Rejected):
        return json.dumps({"number": number, "rejected": str(entry)}) + "\n"
    arrays = {"numbers": to_base64(entry.numbers), "positions": [to_base64(places) for places in entry.positions]}
    arrays |= {name: to_base64(rows) for name in OPTIONAL if (rows := getattr(entry, name)) is not None}
    plain = {"smiles": entry.smiles, "properties": [list(row) for row in entry.properties], "source": entry.source}
    plain |= {"perceived": list(entry.perceived), "notes": list(entry.notes)}
    return json.dumps({"number": number, "implicit": entry.implicit} | plain | arrays) + "\n"


def from_json(line: dict[str, Any]) -> Entry | Rejected:
    """Return the result of a line of a draft without its number."""
    if "rejected" in line:
        return Rejected(line["rejected"])
    numbers = from_base64(line.pop("numbers"), np.uint8)
    positions = [from_base64(text, np.float32).reshape(-1, 3) for text in line.pop("positions")]
    known: dict[str, Any] = {name: from_base64(line.pop(name), kind) for name, kind in OPTIONAL.items() if name in line}
    if "bonds" in known:
        known["bonds"] = known["bonds"].reshape(-1, COLUMNS)
    return Entry(numbers=numbers, positions=positions, **known, **line)


def to_base64(values: np.ndarray) -> str:
    """Return the bytes of an array in base64."""
    return base64.b64encode(values.tobytes()).decode()


def from_base64(text: str, kind: type[np.generic]) -> np.ndarray:
    """Return the flat array of `to_base64`, of a given type."""
    return np.frombuffer(base64.b64decode(text), kind)
