"""A run's folder: its files, and how they are read and written.

runs/audio-001/
  config.input.yaml      what the user set
  config.resolved.yaml   every value, with where it came from
  checkpoints/           step-00002000/ ...
  parts/                 copies of the runs that it needs, such as codec/ (`polydiff.stages.parts`)
  averages/              step-00002000/ ...: power-function averages (`run.snapshots`), if the run keeps them
  goal.json              the last step, if the run was resumed to train longer (`run.goal`)
  after.json             the number of samples to evaluate after training (`run.goal`)
  metrics.jsonl          one line a logged step
  samples/               real/, step-00000500/ ...: files, a manifest and an HTML fragment; scripts/ of these
  tracking.json          the key by which trackers know the run, and tensorboard/ (`polydiff.tracking`), if it has any
  evaluation.json        the last evaluation
  calibration.json       samplers that were fitted to the network (`run.calibrations`)
  report.html            one self-contained page

An exported model (`polydiff.sharing`) is a folder that is a run and its only checkpoint at once:

digits/
  config.json            what state.json of a checkpoint holds
  model.safetensors      averaged weights
  manifest.json          size and SHA-256 of both
  parts/                 copies of the runs that it needs, each an exported model; folders of text encoders
  config.resolved.yaml, evaluation.json, calibration.json, samples/, report.html as those of a run

Wherever the folder of a run is named, so can be that of an exported model, or hf:user/name, one on the hub.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from polydiff.hub import files
from polydiff.hub.download import local
from polydiff.hub.names import on_hub
from polydiff.run.records import read_records
from polydiff.support.disk import writing
from polydiff.support.errors import UserError, as_path
from polydiff.support.files import append, new_folder, quoted, write_atomic
from polydiff.support.replace import DRAFT, opened_to_lock, remove, remove_drafts, remove_folder

LOCK = ".lock"
PIPELINE = files.PIPELINE
"""File in the folder of a pipeline, several runs that are used as one (`polydiff.pipeline`)."""
PARTS = "parts"
"""Folder of the copies of other runs."""
STEP = re.compile(r"step-(\d{8,})")
"""Name of the folder of a step: of a checkpoint, of a snapshot of averages, of a set of samples."""


def step_path(folder: Path, step: int) -> Path:
    """Return the folder of a step: folder/step-00002000."""
    return folder / f"step-{step:08d}"


def step_of(path: Path) -> int | None:
    """Return the step in a folder's name, None if it is not the folder of a step."""
    match = STEP.fullmatch(path.name)
    return int(match[1]) if match else None


def steps_saved(folder: Path) -> list[int]:
    """Return the steps that have a folder in this one, ascending; files, and drafts that a crash left, do not count."""
    paths = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    return sorted(step for path in paths if (step := step_of(path)) is not None)


def delete_steps(folder: Path, steps: Iterable[int]) -> None:
    """Delete the folders of these steps, and drafts of steps that a crash left."""
    for step in steps:
        remove_folder(step_path(folder, step))
    remove_drafts(folder, lambda name: STEP.fullmatch(name) is not None)


def check_own(path: Path | str) -> None:
    """Raise UserError if a path is the name of a model on the hub, to whose copy in the cache nothing is written."""
    if on_hub(as_path("path", path)):
        raise UserError(
            f"{path} is on the hub, and nothing is written to its copy in the cache. Make one of your own: "
            f"polydiff export {path} -o DIR"
        )


def is_pipeline(path: Path | str) -> bool:
    """Return whether a path is the folder of a pipeline."""
    return (local(Path(path)) / PIPELINE).is_file()


@dataclass(frozen=True)
class ResultsFolder:
    """Paths of the results in a folder, which is that of a run or of a pipeline.

    Arguments:
        path: The folder.
    """

    path: Path

    @property
    def evaluation(self) -> Path:
        return self.path / files.EVALUATION

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    def samples(self, name: str | int) -> Path:
        """Return the folder of a set of samples: "real", or those of a step."""
        folder = self.path / "samples"
        return step_path(folder, name) if isinstance(name, int) else folder / name


@dataclass(frozen=True)
class Run(ResultsFolder):
    """Paths in a run's folder, and how its small files are read and written."""

    @classmethod
    def open(cls, path: Path | str) -> Run:
        """Return an existing run."""
        path = local(as_path("path", path))
        if not path.is_dir():
            raise UserError(
                f"There is no run folder {path}. `polydiff train --domain NAME -o {quoted(path)}` creates one."
            )
        if is_pipeline(path):
            raise UserError(f"{path} is a pipeline of several runs. Name one of them, a folder in {path / 'stages'}.")
        run = cls(path)
        run.check_whole()
        if not (run.exported or run.resolved.is_file() or run.checkpoints.is_dir()):
            raise UserError(f"{path} is not a run folder: it contains neither config.resolved.yaml nor checkpoints/.")
        return run

    def check_free(self) -> None:
        """Raise UserError unless the folder is new, empty, or a run that stopped before its first checkpoint."""
        if steps_saved(self.checkpoints):
            raise UserError(
                f"{self.path} already contains a run. Resume it with `polydiff resume {quoted(self.path)}`, or choose "
                "another -o."
            )
        if self.exported:
            raise UserError(f"{self.path} is an exported model. Choose another -o.")
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is a file, not a folder. Choose another -o.")
        if self.path.is_dir() and not self.resolved.is_file() and not self.was_begun():
            raise UserError(f"{self.path} contains other files than a run. Choose another -o, or an empty folder.")

    @property
    def exported(self) -> bool:
        """Whether the folder is that of an exported model."""
        return (self.path / files.CONFIG).is_file() and (self.path / files.MANIFEST).is_file()

    def check_whole(self) -> None:
        """Raise UserError if the folder has some of the files of an exported model, and lacks others."""
        absent = [name for name in files.OF_EXPORTED if not (self.path / name).is_file()]
        others = [self.checkpoints, self.path / "state.json"]  # of a run, or of a checkpoint that was renamed
        few = len(absent) == 2 and not self.resolved.is_file()
        if 0 < len(absent) < 3 and not few and not any(map(Path.exists, others)):
            raise UserError(
                f"{self.path} looks like an exported model, but lacks {' and '.join(absent)}. Copy or download the "
                "whole folder again, or export the run again."
            )

    @property
    def newest(self) -> Path | None:
        """Folder of the newest checkpoint; of an exported model, its own; None if there is none."""
        if self.exported:
            return self.path
        steps = steps_saved(self.checkpoints)
        return step_path(self.checkpoints, steps[-1]) if steps else None

    def check_resumable(self) -> None:
        """Raise UserError if the folder is that of an exported model, which is not trained further."""
        if self.exported:
            raise UserError(
                f"{self.path} is an exported model, without the optimizer and the history that resuming needs. To "
                f"begin a new run with its weights: polydiff train ... train.init={quoted(self.path)}"
            )

    def was_begun(self) -> bool:
        """Return whether the folder is empty or holds only what a run writes before config.resolved.yaml."""
        names = {path.name for path in self.path.iterdir()}
        first = {name for name in names if name in (LOCK, PARTS, self.input.name) or DRAFT.fullmatch(name)}
        return names == first and (LOCK in names or not names)

    def sweep(self) -> None:
        """Delete the temporary files and folders that a crash left."""
        for name in ("", "checkpoints", "averages", PARTS, "samples", "samples/scripts"):
            remove_drafts(self.path / name)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training in this folder; a lock ends with its process, however that ends."""
        with new_folder(self.path), self.open_lock() as file:
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
                    remove(self.path / LOCK)  # no run was started: leave nothing, but the error that ended it

    def open_lock(self) -> IO[bytes]:
        """Return the file whose lock a process holds while it trains, opened."""
        with writing(self.path):
            return opened_to_lock(self.path / LOCK)

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
        return self.path / files.RESOLVED

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def goal(self) -> Path:
        return self.path / "goal.json"

    @property
    def after(self) -> Path:
        return self.path / "after.json"

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of metrics.jsonl (`polydiff.run.records`)."""
        return read_records(self.metrics)

    def rewind(self, step: int) -> None:
        """Forget the records after `step`, as a run that resumes there does."""
        if os.path.lexists(self.metrics):
            kept = [record for record in self.records() if record["step"] <= step]
            write_atomic(self.metrics, "".join(json.dumps(record) + "\n" for record in kept))

    def log(self, record: Mapping[str, Any]) -> None:
        """Append one line to metrics.jsonl, whole or not at all."""
        append(self.metrics, json.dumps(dict(record)) + "\n")


def run_of(path: Path) -> Run:
    """Return the run that a path belongs to: a run's folder, or that of one of its checkpoints."""
    place = local(path).resolve()
    return Run(place if step_of(place) is None else place.parent.parent)


def part_path(run: Path, key: str) -> Path:
    """Return the folder of the copy, in a run's folder, of the run that a key of its configuration names."""
    return run / PARTS / key.replace(".", "-")
