"""Unusable parts of a data set, each with its reason: a few are excluded and reported, many stop the run."""

from __future__ import annotations

import json
import re
import threading
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polydiff.support.errors import UserError, printable
from polydiff.support.files import HIDDEN, read_json, write_atomic

CAPTIONS = frozenset({".txt", ".json", ".jsonl", ".csv", ".tsv", ".parquet", ".xml"})
"""Kinds of file that often hold captions, tables or boxes of the examples beside them."""
MOST = 0.05
"""Largest share of excluded data that a run accepts."""
LISTED = 20
"""Names that a message lists."""
FILE = "data.json"
"""Name of the file in a run's folder that lists which data were used and which were excluded."""


@dataclass
class Quarantine:
    """What was found in a data set and what is excluded; found = used + left out + excluded.

    Lines of tables that describe the data, and are not the data themselves, are counted apart.

    Arguments:
        place: Where the data are.
        things: What they are called: "sounds", "images".
        found: How many there are.
        left_out: How many of them are usable but were not requested.
        reasons: Name -> why it is excluded.
        notes: Key -> further remark, such as "12 sounds are clipped".
        ignored: Kind of file that is not read, such as ".txt" -> number.
        rows: How many lines of such tables were read.
        bad_rows: Line of such a table -> why it cannot be used.
        splits: Class, or "all" -> {"train": n, "test": n}; {} if the examples are not counted by split.
    """

    place: str
    things: str
    found: int = 0
    left_out: int = 0
    reasons: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)
    splits: dict[str, dict[str, int]] = field(default_factory=dict)
    rows: int = 0
    bad_rows: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def used(self) -> int:
        """How many are trained on or held out."""
        return self.found - self.left_out - len(self.reasons)

    def exclude(self, name: str, reason: str) -> bool:
        """Exclude one and return whether it was not excluded before; the first reason is kept."""
        with self.lock:
            new = name not in self.reasons
            self.reasons.setdefault(name, " ".join(reason.split()))
            return new

    @property
    def unusable(self) -> dict[str, str]:
        """Name of an excluded one, or of a line of a table -> why it cannot be used."""
        with self.lock:
            return self.bad_rows | self.reasons

    def check(self) -> None:
        """Raise UserError if too large a share of the data set, or of the lines of its tables, is excluded."""
        if len(self.reasons) > MOST * self.found or len(self.bad_rows) > MOST * self.rows:
            raise UserError(
                f"{self.text()}\nThese are more than {MOST:.0%}, so training does not start. Remove or repair them; "
                f"`polydiff data check {self.place}` lists all."
            )

    def text(self) -> str:
        """Return the number of excluded data and the first of them, one per line."""
        counts = [(len(self.reasons), self.found, self.things), (len(self.bad_rows), self.rows, "lines of tables")]
        shares = " and ".join(f"{bad} of {all_} {things}" for bad, all_, things in counts if bad)
        return "\n".join([f"{shares} in {self.place} cannot be used:", *self.lines()])

    def lines(self, most: int = LISTED) -> list[str]:
        """Return excluded data with reasons, one per line, up to `most`, and the number of the others."""
        excluded = sorted(self.unusable.items(), key=lambda item: in_order(item[0]))
        rest = [f"  and {len(excluded) - most} more"] if len(excluded) > most else []
        return [printable(f"  {name}: {reason}") for name, reason in excluded[:most]] + rest

    def summary(self) -> str:
        """Return one line that adds up."""
        left_out = f"{self.left_out} left out, " if self.left_out else ""
        notes = "".join(f"; {note}" for note in self.notes.values())
        excluded = f"{len(self.reasons)} excluded"
        excluded += f"; {len(self.bad_rows)} of {self.rows} lines of tables not used" if self.bad_rows else ""
        ignored = f"; ignored: {self.ignored_text()}" if self.ignored else ""
        return f"{self.found} {self.things} found: {self.used} used, {left_out}{excluded}{notes}{ignored}."

    def ignored_text(self) -> str:
        """Return the numbers of ignored files by kind, such as "3 .txt, 1 .mp4"."""
        return ", ".join(f"{n} {printable(kind)}" for kind, n in self.ignored.items())

    def report_ignored(self, read: str = "") -> None:
        """Warn of ignored files, except hidden ones, and add a remark if captions or tables are among them.

        Arguments:
            read: What such files are read, such as "clip.json beside clip.wav"; "": none.
        """
        if CAPTIONS & self.ignored.keys():
            but = f", except {read}" if read else ""
            self.notes["captions"] = f"captions and tables beside {self.things} are not read{but}"
        if self.ignored.keys() - {HIDDEN}:
            warnings.warn(f"Ignored in {self.place}: {self.ignored_text()}.", stacklevel=3)

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        about = {"place": printable(self.place), "things": self.things}
        counts = {"found": self.found, "used": self.used, "left_out": self.left_out}
        excluded = {printable(name): printable(reason) for name, reason in self.reasons.items()}
        return {**about, **counts, "excluded": excluded, "notes": self.notes, **self.further()}

    def further(self) -> dict[str, Any]:
        """Return ignored files, lines of tables and numbers by split, where they are known."""
        lines = {"found": self.rows, "excluded": {printable(n): printable(why) for n, why in self.bad_rows.items()}}
        known = {"ignored": self.ignored, "lines": lines if self.rows else None, "splits": self.splits}
        return {name: value for name, value in known.items() if value}


def in_order(name: str) -> list[tuple[str, int]]:
    """Return a key that sorts names with numbers as people do: "line 9" before "line 10"."""
    return [(text, int(digits or -1)) for text, digits in re.findall(r"(\D*)(\d{0,18})", name)]


def keep(quarantine: Quarantine | None, folder: Path) -> None:
    """Write the quarantine to a run's folder; None: write nothing."""
    if quarantine is not None:
        write_atomic(folder / FILE, json.dumps(quarantine.as_json(), indent=1, ensure_ascii=False))


def summary_lines(folder: Path, known: str = "") -> list[str]:
    """Return the quarantine in a run's folder as lines of text; [] if there is none.

    The file is information for people, so if it is damaged, the lines say that.

    Arguments:
        folder: The run's folder.
        known: Text that the reader has seen, such as warnings; its remarks, reasons and ignored files are left out.
    """
    path = folder / FILE
    try:
        saved = read_json(path)
    except UserError as error:
        return [str(error)]
    if not saved:
        return []
    texts, numbers, groups = ("place", "things"), ("found", "left_out"), ("excluded", "notes")
    kinds = [(name, kind) for names, kind in ((texts, str), (numbers, int), (groups, dict)) for name in names]
    ignored, rows = saved.get("ignored", {}), saved.get("lines", {"found": 0, "excluded": {}})
    if not all(type(saved.get(name)) is kind for name, kind in kinds) or type(ignored) is not dict or not whole(rows):
        return [f"{path} is not a list of data written by polydiff. Delete it."]
    reasons, notes = ({str(k): str(v) for k, v in saved[name].items()} for name in groups)
    quarantine = Quarantine(
        saved["place"],
        saved["things"],
        saved["found"],
        saved["left_out"],
        reasons=reasons,
        notes={key: note for key, note in notes.items() if note not in known},
        ignored={str(kind): n for kind, n in ignored.items() if isinstance(n, int)},
        rows=rows["found"],
        bad_rows={str(line): str(reason) for line, reason in rows["excluded"].items()},
    )
    if quarantine.ignored_text() in known:
        quarantine.ignored = {}
    return [quarantine.summary(), *(line for line in quarantine.lines() if line not in known)]


def whole(rows: Any) -> bool:
    """Return whether a value of data.json counts the lines of tables and holds the reasons of unused ones."""
    return type(rows) is dict and type(rows.get("found")) is int and type(rows.get("excluded")) is dict
