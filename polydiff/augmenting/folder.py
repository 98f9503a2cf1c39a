"""The folder of a data set of samples: files in folders of their classes, a table of other columns, and a manifest.

While it is written, the folder has the journal of `polydiff.gallery.journal`, so a stopped drawing is resumed. Files
are written under temporary names and renamed, so each is complete or absent. At the end the journal becomes
manifest.json, whose entries say which files are real and which synthetic; their names say it as well.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from polydiff.augmenting.drawing import Again
from polydiff.contract.data.augmenting import WritesData
from polydiff.contract.data.columns import LABEL
from polydiff.contract.domain import Domain, Samples
from polydiff.gallery.journal import DRAFT, JOURNAL, Journal, Part, bytes_of, check_same
from polydiff.gallery.names import MANIFEST
from polydiff.gallery.sets import with_conditions, write_manifest
from polydiff.support.errors import UserError
from polydiff.support.files import delete, read_json, write_atomic

REAL, SYNTHETIC = "real", "synthetic"
"""Beginning of the name of a file, and value of `origin` in the manifest."""
TABLE = "metadata.jsonl"
"""Table of the conditions that files do not hold themselves."""


class DataFolder:
    """Writes a data set, part by part, in order.

    Arguments:
        folder: Target folder.
        domain: Domain of the examples, as what describes them.
        writer: The same domain, as what writes them.
        journal: Journal of the folder.
    """

    def __init__(self, folder: Path, domain: Domain, writer: WritesData, journal: Journal) -> None:
        self.folder, self.domain, self.writer, self.journal = folder, domain, writer, journal
        self.folders: dict[str, str] = {}

    def write(self, samples: Samples, origin: str, numbers: Sequence[int], again: Sequence[Again] = ()) -> int:
        """Write the next examples and return how many are written in all.

        Arguments:
            samples: The examples.
            origin: `REAL` or `SYNTHETIC`.
            numbers: Number of each, for its name.
            again: How often each was drawn again.
        """
        draft = self.folder / DRAFT
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        entries: list[dict[str, Any]] = []
        rows = with_conditions(self.domain, samples, self.writer.write_data(samples, draft))
        for i, (number, row) in enumerate(zip(numbers, rows, strict=True)):
            file = Path(self.class_folder(row), f"{origin}-{number:06d}{Path(row['file']).suffix}").as_posix()
            (self.folder / file).parent.mkdir(exist_ok=True)
            (draft / row["file"]).replace(self.folder / file)
            columns = {
                name: value
                for name, value in row.items()
                if name not in ("file", LABEL, "cond") and isinstance(value, str | int | float)
            }
            drawn = {"again": asdict(again[i])} if again else {}
            entries.append({"file": file, "origin": origin, "number": number, "cond": row["cond"], **drawn})
            entries[-1] |= {"columns": columns} if columns else {}
        sizes = {entry["file"]: bytes_of(self.folder / entry["file"]) for entry in entries}
        self.journal.add(Part(self.journal.done, entries, sizes, {}))
        return self.journal.done

    def class_folder(self, row: Mapping[str, Any]) -> str:
        """Return the folder of an example's class, "" if it has none.

        Raises:
            UserError: Two classes would share a folder.
        """
        if LABEL not in row:
            return ""
        name = str(row[LABEL])
        folder = name.replace("/", "_").lstrip(".") or "_"
        if self.folders.setdefault(folder, name) != name:
            raise UserError(f"The classes {self.folders[folder]} and {name} cannot both have the folder {folder}.")
        return folder

    def finish(self) -> None:
        """Write the table and the manifest, and remove the journal."""
        lines = [
            json.dumps({"file_name": entry["file"], **entry["columns"]}, ensure_ascii=False) + "\n"
            for entry in self.entries()
            if "columns" in entry
        ]
        if lines:
            write_atomic(self.folder / TABLE, "".join(lines))
        draft = self.folder / ".manifest.tmp"
        write_manifest(draft, {**self.journal.head, **counts(self.entries())}, self.entries())
        draft.replace(self.folder / MANIFEST)
        delete(self.folder / JOURNAL)
        shutil.rmtree(self.folder / DRAFT, ignore_errors=True)

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield the entry of each example."""
        for part in self.journal.read():
            yield from part.samples


def counts(entries: Iterator[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how many examples are real and synthetic, and how often samples were drawn again, for the manifest."""
    found: dict[str, Any] = {"counts": {REAL: 0, SYNTHETIC: 0}, "drawn_again": asdict(Again())}
    for entry in entries:
        found["counts"][entry["origin"]] += 1
        for name, n in entry.get("again", {}).items():
            found["drawn_again"][name] += n
    return found


def complete(folder: Path, head: Mapping[str, Any], batch_given: bool) -> bool:
    """Return whether a folder holds the whole data set of these settings.

    Arguments:
        folder: The folder.
        head: The settings.
        batch_given: Whether the user set the batch size.

    Raises:
        UserError: It holds another one, or other files.
    """
    if not folder.exists() or (folder / JOURNAL).is_file() or not any(folder.iterdir()):
        return False
    found = read_json(folder / MANIFEST) if (folder / MANIFEST).is_file() else {}
    if "drawn_again" not in found:
        raise UserError(f"{folder} exists and holds other files. Choose another -o.")
    started = {name: found.get(name) for name in head}
    check_same(folder, started, dict(head) if batch_given else {**head, "batch_size": started.get("batch_size")})
    return True
