"""What of a data set cannot be used, each with its reason: a few are left out and told, many stop the run."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polydiff.support.errors import UserError
from polydiff.support.files import write_atomic

MOST = 0.05
"""Share of a data set above which it is not trained on."""
LISTED = 20
"""Names that a message lists."""
FILE = "data.json"
"""Name of the file in a run's folder that says what was used of the data and what was not."""


@dataclass
class Quarantine:
    """What was found in a data set and what of it is put aside; found = used + left out + put aside.

    Arguments:
        place: Where the data are.
        things: What they are called: "sounds", "images".
        found: How many there are.
        left_out: How many of them are fine, but were not asked for.
        reasons: Name -> why it is put aside.
        notes: What else is worth a word, such as "12 sounds are clipped".
    """

    place: str
    things: str
    found: int = 0
    left_out: int = 0
    reasons: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def used(self) -> int:
        """How many are trained on or held out."""
        return self.found - self.left_out - len(self.reasons)

    def exclude(self, name: str, reason: str) -> bool:
        """Put one aside, and return whether it is the first time that this is said of it."""
        with self.lock:
            new = name not in self.reasons
            self.reasons.setdefault(name, " ".join(reason.split()))
            return new

    def check(self) -> None:
        """Refuse a data set of which much cannot be used."""
        if len(self.reasons) > MOST * self.found:
            raise UserError(f"{self.text()}\nRemove or repair them; `polydiff data check {self.place}` lists all.")

    def text(self) -> str:
        """Return how many are put aside, and the first of them, one a line."""
        return "\n".join(
            [f"{len(self.reasons)} of {self.found} {self.things} in {self.place} cannot be used:", *self.lines()]
        )

    def lines(self, most: int = LISTED) -> list[str]:
        """Return those that are put aside, one a line with its reason, and how many more there are."""
        with self.lock:
            told = sorted(self.reasons.items())
        rest = [f"  and {len(told) - most} more"] if len(told) > most else []
        return [printable(f"  {name}: {reason}") for name, reason in told[:most]] + rest

    def summary(self) -> str:
        """Return one line that adds up."""
        left_out = f"{self.left_out} left out, " if self.left_out else ""
        notes = "".join(f"; {note}" for note in self.notes.values())
        aside = f"{len(self.reasons)} put aside"
        return f"{self.found} {self.things} found: {self.used} used, {left_out}{aside}{notes}."

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        about = {"place": printable(self.place), "things": self.things}
        counts = {"found": self.found, "used": self.used, "left_out": self.left_out}
        aside = {printable(name): printable(reason) for name, reason in self.reasons.items()}
        return {**about, **counts, "put_aside": aside, "notes": self.notes}


def printable(text: str) -> str:
    """Return text on one line, what a terminal would obey and what is no character (bytes of a name) escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def keep(quarantine: Quarantine | None, folder: Path) -> None:
    """Write beside a run what was used of its data and what was put aside; None: the domain does not say."""
    if quarantine is not None:
        write_atomic(folder / FILE, json.dumps(quarantine.as_json(), indent=1, ensure_ascii=False))


def summary_lines(folder: Path) -> list[str]:
    """Return what `keep` wrote beside a run in lines to be told; none where it wrote nothing."""
    path = folder / FILE
    if not path.exists():
        return []
    told = json.loads(path.read_text(encoding="utf-8"))
    given = {name: told[name] for name in ("place", "things", "found", "left_out", "notes")}
    quarantine = Quarantine(**given, reasons=told["put_aside"])
    return [quarantine.summary(), *quarantine.lines()]
