"""A run's folder: where each thing of a run lies.

runs/audio-001/
  config.input.yaml      what the user said
  config.resolved.yaml   every value, with where it came from
  checkpoints/           step-00002000/ ...
  averages/              step-00002000/ ...: power-function averages (`polydiff.ema`), where the run keeps them
  metrics.jsonl          one line a logged step
  samples/               real/, step-00000500/ ...: files, a manifest and an HTML fragment; scripts/ of these
  evaluation.json        the last evaluation
  report.html            one self-contained page
"""

from __future__ import annotations

import fcntl
import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polydiff.errors import UserError
from polydiff.files import folder_atomic, made, write_atomic
from polydiff.fragment import keep_scripts

LOCK = ".lock"
SCRIPTS = "scripts"
"""In the folder of all samples: what their show.html need (`polydiff.abilities.HasScripts`)."""
JOURNAL = ".drawing.jsonl"
"""In a folder of samples that is being filled: which are written (`polydiff.drawing`)."""


@dataclass(frozen=True)
class Run:
    """Paths in a run's folder, and how its small files are read and written.

    Arguments:
        path: The folder.
    """

    path: Path

    @classmethod
    def open(cls, path: Path | str) -> Run:
        """Return an existing run."""
        path = Path(path)
        if not path.is_dir():
            raise UserError(f"There is no run folder {path}. `polydiff train --domain NAME -o {path}` makes one.")
        run = cls(path)
        if not (run.resolved.is_file() or run.checkpoints.is_dir()):
            raise UserError(f"{path} is not a run folder: it holds neither config.resolved.yaml nor checkpoints/.")
        return run

    def check_free(self) -> None:
        """Refuse a folder that holds a run, or anything that is not a run cut short before its first checkpoint."""
        if self.checkpoints.is_dir() and any(self.checkpoints.glob("step-*")):
            quoted = shlex.quote(str(self.path))
            raise UserError(
                f"{quoted} holds a run already. Go on with `polydiff resume {quoted}`, or choose another -o."
            )
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is a file, not a folder. Choose another -o.")
        if self.path.is_dir() and not self.resolved.is_file() and any(p.name != LOCK for p in self.path.iterdir()):
            raise UserError(f"{self.path} holds files that are no run's. Choose another -o, or an empty folder.")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training in this folder; a lock ends with its process, however that ends."""
        with made(self.path), (self.path / LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"Another process is training in {self.path}. Wait for it, or choose another -o."
                ) from None
            try:
                yield
            finally:
                if {path.name for path in self.path.iterdir()} == {LOCK}:
                    (self.path / LOCK).unlink()  # nothing was begun: leave nothing behind

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def averages(self) -> Path:
        return self.path / "averages"

    @property
    def input(self) -> Path:
        return self.path / "config.input.yaml"

    @property
    def resolved(self) -> Path:
        return self.path / "config.resolved.yaml"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    def samples(self, name: str) -> Path:
        """Return the folder of a set of samples, such as "real" or "step-00000500"."""
        return self.path / "samples" / name

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of metrics.jsonl; a last line that a crash cut short is left out."""
        lines = self.metrics.read_text().splitlines() if self.metrics.is_file() else []
        for i, line in enumerate(lines):
            try:
                yield json.loads(line)
            except ValueError:
                if i + 1 < len(lines):
                    raise UserError(f"{self.metrics}, line {i + 1}, is not JSON. Repair or delete that line.") from None

    def rewind(self, step: int) -> None:
        """Forget the records after `step`, as a run that resumes there does."""
        if self.metrics.is_file():
            kept = [record for record in self.records() if record["step"] <= step]
            write_atomic(self.metrics, "".join(json.dumps(record) + "\n" for record in kept))

    def log(self, record: Mapping[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        with self.metrics.open("a") as file:
            file.write(json.dumps(dict(record)) + "\n")


def write_samples(folder: Path, domain: Any, samples: Any, facts: Mapping[str, Any]) -> None:
    """Write samples as files, with manifest.json and the fragment show.html; whole or not at all.

    Arguments:
        folder: Where; an older set of the same name is replaced.
        domain: Knows how its samples are saved and shown (`polydiff.domain.Domain`).
        samples: What to write (`polydiff.domain.Samples`).
        facts: What else the manifest says: seed, sampler, checkpoint, ...
    """
    with folder_atomic(folder) as draft:
        entries = domain.save(samples, draft)
        words = domain.describe(samples.cond) if samples.cond is not None else [{} for _ in entries]
        listed = [{**entry, "cond": cond} for entry, cond in zip(entries, words, strict=True)]
        (draft / "manifest.json").write_text(json.dumps({**facts, "samples": listed}, indent=1))
        (draft / "show.html").write_text(domain.show(samples), encoding="utf-8")
    keep_scripts(domain, folder.parent / SCRIPTS)
