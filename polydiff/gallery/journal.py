"""The journal of a folder of samples (`polydiff.gallery.writer`): settings, and which samples are written."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from pydantic import TypeAdapter

from polydiff.support.errors import UserError

JOURNAL = ".drawing.jsonl"
"""Name of a journal, in the folder of samples that is being filled."""
DRAFT = ".draft"


class Part(NamedTuple):
    """A line of a journal: consecutive samples that are written.

    Attributes:
        first: Number of the first one.
        samples: Entry of each sample in manifest.json.
        sizes: Name of each file that was written or appended to -> its size afterwards, in bytes.
        arrays: Name of each array of an archive -> its type, and the shape of a sample.
    """

    first: int
    samples: list[dict[str, Any]]
    sizes: dict[str, int]
    arrays: dict[str, tuple[str, list[int]]]


class Journal:
    """Record of which samples of a drawing are written.

    Arguments:
        file: The journal, locked.
        head: Settings of the drawing.
    """

    def __init__(self, file: IO[str], head: dict[str, Any]) -> None:
        self.file, self.head = file, head
        self.parts = 0
        self.done = 0

    def add(self, part: Part) -> None:
        """Add a line, after the files that it lists are in place."""
        self.file.write(json.dumps(part) + "\n")
        self.file.flush()
        self.parts, self.done = self.parts + 1, part.first + len(part.samples)

    def read(self) -> Iterator[Part]:
        """Yield the parts."""
        self.file.seek(0)
        self.file.readline()
        for line in iter(self.file.readline, ""):  # a loop over the file would disable `tell`
            part = parse_part(line)
            if part is None:  # cut off by a crash
                return
            yield part

    def first(self, n: int) -> int:
        """Return the number of samples in the first parts, up to the one that completes n, or in all parts."""
        done = 0
        for part in self.read():
            done = part.first + len(part.samples)
            if done >= n:
                break
        return done

    def keep(self, folder: Path) -> None:
        """Drop the first part whose files have changed, and all parts after it."""
        end, growing = self.begin(), dict[str, int]()
        for part in self.read():
            if part.first != self.done or not all(whole(folder, *file) for file in part.sizes.items()):
                break
            self.parts, self.done, end = self.parts + 1, part.first + len(part.samples), self.file.tell()
            growing = {name: size for name, size in part.sizes.items() if name.startswith(".")}
        self.file.seek(end)
        self.file.truncate()
        for path in folder.glob(".*.part"):
            with path.open("r+b") as file:
                file.truncate(growing.get(path.name, 0))

    def begin(self) -> int:
        """Write the first line if it is missing and return the position of its end."""
        self.file.seek(0)
        if not self.file.readline().endswith("\n"):
            self.file.truncate(0)
            self.file.write(json.dumps(self.head) + "\n")
            self.file.flush()
        return self.file.tell()


LINE: TypeAdapter[Part] = TypeAdapter(Part)


def parse_part(line: str) -> Part | None:
    """Return a line of a journal; None if it is something else."""
    try:
        return LINE.validate_json(line, strict=True)
    except ValueError:
        return None


def whole(folder: Path, name: str, size: int) -> bool:
    """Return whether a file has the size in the journal; a growing file may be larger, or already renamed."""
    if name.startswith("."):
        return max(bytes_of(folder / name), bytes_of(folder / name[1:-5])) >= size
    return bytes_of(folder / name) == size


def bytes_of(path: Path) -> int:
    """Return the size of a file in bytes, -1 if it does not exist."""
    return path.stat().st_size if path.is_file() else -1


@contextmanager
def opened(folder: Path, head: dict[str, Any], batch_said: bool) -> Iterator[Journal]:
    """Open a folder's journal, new or resumed, as a context; delete it if nothing was written.

    Arguments:
        folder: Folder of samples.
        head: Settings of the drawing.
        batch_said: Whether the user set the batch size; if not, a resumed drawing keeps its own.
    """
    path = folder / JOURNAL
    if os.path.lexists(path) and (path.is_symlink() or not path.is_file()):
        raise UserError(f"{path} is no regular file. Delete it, or choose another -o.")
    with path.open("a+", encoding="utf-8", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"Another process is writing to {folder}. Wait for it, or choose another -o.") from None
        file.seek(0)
        line = file.readline()
        if line.endswith("\n"):
            started = parse_head(path, line)
            check_same(folder, started, head if batch_said else {**head, "batch_size": started.get("batch_size")})
            head = started
        journal = Journal(file, head)
        journal.keep(folder)
        try:
            yield journal
        finally:
            if not journal.parts:
                shutil.rmtree(folder / DRAFT, ignore_errors=True)
                if not any(other != path for other in folder.iterdir()):
                    path.unlink(missing_ok=True)


def parse_head(path: Path, line: str) -> dict[str, Any]:
    """Return the settings in a journal's first line."""
    try:
        return dict(json.loads(line))
    except (ValueError, TypeError, RecursionError):
        raise UserError(f"{path} is damaged. Delete it, or choose another -o.") from None


def check_same(folder: Path, started: Mapping[str, Any], head: Mapping[str, Any]) -> None:
    """Raise UserError if a journal has other settings; a run is compared by the digest of its weights, not its path."""
    now = json.loads(json.dumps(head))
    different = [name for name in {**started, **now} if name != "run" and started.get(name) != now.get(name)]
    if different and set(different) <= {"weights_digest", "guide_digest"}:
        raise UserError(f"{folder} was started with other weights of the same name. Choose another -o.")
    if different:
        changes = ", ".join(f"{name}={started.get(name)!r}, not {now.get(name)!r}" for name in different[:3])
        raise UserError(
            f"{folder} was started with {changes}. Use the same settings to resume it, or choose another -o."
        )
