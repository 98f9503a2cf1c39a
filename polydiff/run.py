"""A run's folder: where each thing of a run lies.

runs/audio-001/
  config.input.yaml      what the user said
  config.resolved.yaml   every value, with where it came from
  checkpoints/           step-00002000/ ...
  metrics.jsonl          one line a logged step
  samples/               real/, step-00000500/ ...: files, a manifest and an HTML fragment
  evaluation.json        the last evaluation
  report.html            one self-contained page
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polydiff.errors import UserError
from polydiff.files import folder_atomic, write_atomic


@dataclass(frozen=True)
class Run:
    """Paths in a run's folder, and how its small files are read and written.

    Arguments:
        path: The folder.
    """

    path: Path

    @classmethod
    def open(cls, path: Path) -> Run:
        """Return an existing run."""
        if not path.is_dir():
            raise UserError(f"There is no run folder {path}. `polydiff train --domain NAME -o {path}` makes one.")
        run = cls(path)
        if not (run.resolved.is_file() or run.checkpoints.is_dir()):
            raise UserError(f"{path} is not a run folder: it holds neither config.resolved.yaml nor checkpoints/.")
        return run

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

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

    def rewind(self, step: int) -> float:
        """Forget the records after `step`, as a run that resumes there does, and return the seconds it had taken."""
        kept = [record for record in self.records() if record["step"] <= step]
        if kept or self.metrics.is_file():
            write_atomic(self.metrics, "".join(json.dumps(record) + "\n" for record in kept))
        return float(kept[-1]["seconds"]) if kept else 0.0

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
        (draft / "show.html").write_text(domain.show(samples))
