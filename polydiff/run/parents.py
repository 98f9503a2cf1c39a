"""The runs that a run stands on: its initial weights, its guide, and what else its configuration names.

A key of the type `sections.RunPath`, in any section, names a run or one of its checkpoints. `parents_of` finds
such keys, `open_parent` reads and checks what they name, and state.json of every checkpoint records it:

    "parents": {"train.init": {"path": "/home/me/runs/base", "relative": "../base", "step": 2000,
                               "sha256": "9f86d0...", "domain": "image"}}

A parent may be trained further, moved or deleted later. What that means depends on its use:

    train.init     read once, before the first step; the run is resumed and loaded without it
    sample.guide   read whenever guided samples are drawn: a missing guide is an error; one whose weights are not those
                   recorded is a warning, since it changes samples but not the weights of this run

Folders that were moved together keep their places relative to each other: a parent that is missing at its absolute
path is looked for at its relative one, and accepted there if its weights are those recorded (`located`).
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from polydiff.contract.sections.base import NamesRun, is_marked
from polydiff.hub.names import on_hub
from polydiff.run.checkpoint import read_newest, read_state
from polydiff.run.folder import Run, part_path
from polydiff.support.errors import UserError

Records = Mapping[str, Mapping[str, Any]]
"""Dotted key -> what a checkpoint records of the run that the key names."""
Section = TypeVar("Section", bound=BaseModel)


@dataclass(frozen=True)
class Parent:
    """A run that a key names, as it is on disk now. No weights are read.

    Arguments:
        key: Dotted key of the configuration.
        path: Its value: a run's folder or a checkpoint's.
        checkpoint: Folder of the checkpoint: the newest of a run.
        state: Contents of its state.json.
        sha256: Digest of the file of its averaged weights.
    """

    key: str
    path: Path
    checkpoint: Path
    state: Mapping[str, Any]
    sha256: str

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return int(self.state["step"])

    @property
    def config(self) -> Mapping[str, Any]:
        """Its configuration, as nested mappings."""
        return dict(self.state["config"])

    @property
    def domain(self) -> str:
        """Name of its domain."""
        return str(self.config["domain"])

    @property
    def statistics(self) -> Mapping[str, Any]:
        """What its domain measured on its training data."""
        return dict(self.state["statistics"])

    def __str__(self) -> str:
        return f"{self.key}={self.path}"

    def record(self, run: Path) -> dict[str, Any]:
        """Return the record of the parent for checkpoints of the run in this folder."""
        return {**places(self.path, run), "step": self.step, "sha256": self.sha256, "domain": self.domain}

    def check_domain(self, domain: str) -> None:
        """Raise `UserError` unless the run is of this domain."""
        if self.domain != domain:
            raise UserError(f"{self} is a run of the domain {self.domain}, not {domain}.")

    def check_same_data(self, statistics: Mapping[str, Any]) -> None:
        """Raise `UserError` unless the statistics of its training data are these, so that its states mean the same."""
        own, others = ({k: json.dumps(v) for k, v in found.items()} for found in (statistics, self.statistics))
        different = [name for name in {**own, **others} if own.get(name) != others.get(name)]
        if different:
            raise UserError(
                f"{self} was trained on other data than this model, so its states mean something else: the two differ "
                f"in {', '.join(different)}."
            )

    def warn_if_changed(self, records: Records) -> None:
        """Warn if the weights are no longer those that a checkpoint recorded under the same key and path."""
        record = records.get(self.key)
        if record and record["path"] == str(self.path) and record["sha256"] != self.sha256:
            was = f"step {record['step']}" if record["step"] != self.step else "other weights of the same step"
            warnings.warn(
                f"{self} has changed since this run recorded it: it had {was}, and has step {self.step} now. Samples "
                "differ from those drawn before.",
                stacklevel=2,
            )


def parents_of(config: BaseModel) -> dict[str, Path]:
    """Return the runs that a configuration names, by dotted key, such as {"train.init": Path("/home/me/runs/base")}."""
    return dict(run_paths(config))


def run_paths(section: BaseModel, prefix: str = "") -> Iterator[tuple[str, Path]]:
    """Yield (dotted key, path) of each run that a section, or a section in it, names."""
    for name, field in type(section).model_fields.items():
        key, value = prefix + name, getattr(section, name)
        if isinstance(value, BaseModel):
            yield from run_paths(value, f"{key}.")
        elif is_marked(field, NamesRun):
            named = value if isinstance(value, Mapping) else {"": value}
            yield from ((f"{key}.{k}" if k else key, path) for k, path in named.items() if path is not None)


def open_parent(key: str, path: Path) -> Parent:
    """Return the run that a key names.

    Raises:
        UserError: It does not exist, is neither a run nor a checkpoint, or is damaged; the message begins with the key.
    """
    try:
        return read_newest(path, lambda checkpoint: Parent(key, path, checkpoint, *read_state(checkpoint)))
    except UserError as error:
        raise UserError(f"{key}={path}: {error}") from error


def open_parents(config: BaseModel) -> dict[str, Parent]:
    """Return all runs that a configuration names, by dotted key."""
    return {key: open_parent(key, path) for key, path in parents_of(config).items()}


def renewed(records: Records, config: BaseModel, run: Path) -> dict[str, dict[str, Any]]:
    """Return the records of a run that is resumed, with the places of its parents as they are now."""
    paths = parents_of(config)
    return {key: {**record, **places(paths[key], run)} for key, record in records.items() if key in paths}


def places(path: Path, run: Path) -> dict[str, str]:
    """Return the absolute path of a parent and that relative to the run that stands on it; on the hub, its name."""
    if on_hub(path):
        return {"path": str(path), "relative": str(path)}
    return {"path": str(path), "relative": os.path.relpath(path.resolve(), run.resolve())}


def located(config: Section, records: Records, run: Path) -> Section:
    """Return a saved configuration in which parents that were moved together with the run are found.

    An exported model has copies of those that it needs.

    Arguments:
        config: As the checkpoint has it.
        records: What the checkpoint records of its parents.
        run: Folder of the run now.
    """
    for key, path in parents_of(config).items():
        record = records.get(key)
        copied = part_path(run, key)
        if Run(run).exported and (copied.is_dir() or (record and run / record["relative"] == copied)):
            config = with_path(config, key, copied)
        elif record and not on_hub(path) and not path.is_dir():
            here = (run.resolve() / record["relative"]).resolve()
            if here.is_dir() and is_recorded(key, here, record):
                config = with_path(config, key, here)
    return config


def is_recorded(key: str, folder: Path, record: Mapping[str, str]) -> bool:
    """Return whether a folder holds the parent of a record; False for one that is no parent at all."""
    try:
        return open_parent(key, folder).sha256 == record["sha256"]
    except UserError:
        return False


def with_path(section: Section, key: str, path: Path) -> Section:
    """Return a section with another path at a dotted key of it."""
    name, _, rest = key.partition(".")
    value: Any = path
    if rest:
        inner = getattr(section, name)
        value = with_path(inner, rest, path) if isinstance(inner, BaseModel) else {**inner, rest: path}
    return section.model_copy(update={name: value})
