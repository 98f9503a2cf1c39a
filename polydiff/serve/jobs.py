"""Jobs of a server, their results as files, and uploaded files."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polydiff.gallery.names import FILM, MANIFEST
from polydiff.serve.answers import JobStatus, State
from polydiff.support.files import read_json


@dataclass
class JobRecord:
    """A job.

    Arguments:
        kind: Kind of the request.
        model: Name of the model.
        order: The request with paths in place of sources.
        folder: Folder of its results, which exists once they are whole.
        given: File of what it started from, as an example; "": none.
    """

    kind: str
    model: str
    order: dict[str, Any]
    folder: Path
    id: str
    state: State = "queued"
    progress: float = 0.0
    message: str = ""
    notes: list[str] = field(default_factory=list)
    given: str = ""
    started: float | None = None
    ended: float | None = None
    seen: float = field(default_factory=time.monotonic)
    watchers: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ("done", "failed", "cancelled")

    def touch(self) -> None:
        """Note a request about the job."""
        self.seen = time.monotonic()

    def idle(self) -> float:
        """Return the seconds since the last request about it; 0 while a client reads its events."""
        return 0.0 if self.watchers else time.monotonic() - self.seen

    def notify(self) -> None:
        """Wake all tasks that wait for a change."""
        before, self.changed = self.changed, asyncio.Event()
        before.set()

    def begin(self) -> None:
        """Note that its computation begins."""
        self.state, self.started = "running", time.monotonic()
        self.notify()

    def advance(self, share: float) -> None:
        """Note the share that is done."""
        self.progress = share
        self.notify()

    def end(self, state: State, message: str = "") -> None:
        """Note how it ended, unless it has."""
        if not self.over:
            self.state, self.message, self.ended = state, message, time.monotonic()
            self.progress = 1.0 if state == "done" else self.progress
            self.notify()

    def status(self, position: int) -> JobStatus:
        """Return what a client receives; `position` is the number of jobs before it."""
        seconds = 0.0 if self.started is None else (self.ended or time.monotonic()) - self.started
        return JobStatus(
            id=self.id, kind=self.kind, model=self.model, state=self.state, position=position,
            progress=round(self.progress, 3), message=self.message, seconds=round(seconds, 2),
        )  # fmt: skip

    def sample_files(self) -> list[str]:
        """Return the names of the files of its samples, in order; [] of a film."""
        return [entry["file"] for entry in self.manifest().get("samples", [])]

    def manifest(self) -> dict[str, Any]:
        """Return its manifest.json, {} if it has none."""
        return read_json(self.folder / MANIFEST)

    def film(self) -> dict[str, Any]:
        """Return the frames of a film and how it was made, {} if it is none."""
        return read_json(self.folder / FILM)

    def file(self, name: str) -> Path | None:
        """Return the path of one of its files by its name; None if there is none of this name."""
        if self.state != "done":
            return None
        return next((path for path in self.folder.iterdir() if path.name == name and path.is_file()), None)

    def archive(self) -> Path:
        """Return a .zip of its files, which is written once."""
        path = self.folder.with_suffix(".zip")
        if not path.exists():
            draft = path.with_suffix(f".{secrets.token_hex(4)}")
            with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
                for file in sorted(self.folder.iterdir()):
                    archive.write(file, f"{self.model}-{self.id}/{file.name}")
            draft.replace(path)
        return path

    def remove(self) -> None:
        """Delete its files."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.with_suffix(".zip").unlink(missing_ok=True)


@dataclass
class UploadedFile:
    """An uploaded file, under a name of the server's choice.

    Arguments:
        path: The file.
    """

    path: Path
    seen: float = field(default_factory=time.monotonic)

    def touch(self) -> None:
        """Note that it is used."""
        self.seen = time.monotonic()


def new_id() -> str:
    """Return an id that cannot be guessed."""
    return secrets.token_urlsafe(12)
