"""What a long preparation has done so far, kept beside its place in the cache, so that a stopped one goes on there.

One line of JSON a molecule, in the order of the data, with its number. What stands behind a line that is not whole, or
that has another number than its place (of a full disk, or of a file that was removed and begun again), is not read.
Preparations that run side by side each keep a file; when one is done, all are removed.
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

from polydiff.domains.molecule.chemistry.geometry import Rejected
from polydiff.domains.molecule.data.library import Entry

EVERY = 10.0
"""Seconds between writes; what takes less is not kept."""


def written(folder: Path) -> list[Path]:
    """Return the files of the preparations of a folder."""
    return sorted(folder.parent.glob(f".{folder.name}.*.part"))


def recalled(folder: Path) -> list[Entry | Rejected]:
    """Return what the preparation of a folder that came farthest has done; nothing where there was none."""
    return max((list(read(path)) for path in written(folder)), key=len, default=[])


def read(path: Path) -> Iterator[Entry | Rejected]:
    """Yield what a file holds, up to a line that is not whole or not in its place."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError), path.open("rb") as file:
        for number, line in enumerate(file):
            said = json.loads(line)
            if not line.endswith(b"\n") or said.pop("number") != number:
                return
            yield from_json(said)


class Draft:
    """What one preparation has done so far.

    Arguments:
        folder: Of the cache, where all of it will be; None: nothing is kept.

    Attributes:
        known: What an earlier preparation had done.
    """

    def __init__(self, folder: Path | None) -> None:
        self.path = folder and folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:12]}.part")
        self.known = [] if folder is None else recalled(folder)
        self.waiting = [as_json(entry, number) for number, entry in enumerate(self.known)]
        self.noted, self.told = len(self.known), time.monotonic()

    def add(self, entry: Entry | Rejected) -> None:
        """Note the next, and write down now and then what has been noted."""
        if self.path is None:
            return
        self.waiting.append(as_json(entry, self.noted))
        self.noted += 1
        if time.monotonic() - self.told >= EVERY:
            with contextlib.suppress(OSError):  # that the cache cannot be written is said in the end
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("ab") as file:
                    file.write("".join(self.waiting).encode())
                self.waiting.clear()
            self.told = time.monotonic()


def forget(folder: Path) -> None:
    """Remove the files of the preparations of a folder, which is there."""
    for path in written(folder):
        with contextlib.suppress(OSError):  # somebody else was faster
            path.unlink()


def as_json(entry: Entry | Rejected, number: int) -> str:
    """Return a line that says what the entry at a place holds."""
    if isinstance(entry, Rejected):
        return json.dumps({"number": number, "rejected": str(entry)}) + "\n"
    arrays = {"numbers": packed(entry.numbers), "positions": [packed(places) for places in entry.positions]}
    plain = {"smiles": entry.smiles, "properties": [list(row) for row in entry.properties], "source": entry.source}
    return json.dumps({"number": number} | plain | arrays) + "\n"


def from_json(line: dict[str, Any]) -> Entry | Rejected:
    """Return the entry of a line."""
    if "rejected" in line:
        return Rejected(line["rejected"])
    numbers = unpacked(line.pop("numbers"), np.uint8)
    positions = [unpacked(text, np.float32).reshape(-1, 3) for text in line.pop("positions")]
    return Entry(numbers=numbers, positions=positions, **line)


def packed(values: np.ndarray) -> str:
    """Return the bytes of numbers as text."""
    return base64.b64encode(values.tobytes()).decode()


def unpacked(text: str, kind: type[np.generic]) -> np.ndarray:
    """Return the numbers of `packed`."""
    return np.frombuffer(base64.b64decode(text), kind)
