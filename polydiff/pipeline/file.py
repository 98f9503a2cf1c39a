"""The file of a pipeline: its stages in order, what each is trained with, and how it samples.

    domain: image
    common: {data.name: shapes, data.size: 32}
    stages:
      pair:    {learn: match, train.steps: 1500}
      prior:   {codec: pair, backbone.name: mlp}
      decoder: {tell.embedding: pair, data.shrink: 2}
      up:      {task: upsample, data.factor: 2, data.noise: [0.02, 1.0]}
    sample: {up: {level: 0.1, guidance: 1}, prior: {keep: 1, of: 2}}

A stage is the keys of a run, or {run: PATH}, a run that exists. Wherever a key names a run, the name of an earlier
stage means the run of that stage. Relative paths are relative to the folder of the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from polydiff.config.keys import checked
from polydiff.config.layers import without_keys
from polydiff.contract.sections.sampling import SampleConfig
from polydiff.hub.names import on_hub
from polydiff.support.errors import UserError, as_mapping, check_whole, unknown
from polydiff.support.yaml_text import dump_yaml, plain, read_yaml

KEYS = ("domain", "common", "stages", "sample")
EXISTING = ("run", "sha256")
"""Keys of a stage that is a run that exists; the digest is that of its averaged weights."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""Names of stages, which are also names of folders."""
NAMED = "up to 64 letters, digits, '-' and '_', and begins with a letter or digit"
"""What the name of a stage consists of."""
CHOICE = ("level", "keep", "of")
"""Keys of a stage's sampling beside those of the section `sample`."""


@dataclass(frozen=True)
class Stage:
    """A stage as the file has it.

    Arguments:
        values: Nested or dotted keys of its run; {} for a run that exists.
        run: Folder of a run that exists, absolute; None: the pipeline trains it.
        sha256: Digest of the averaged weights that this run had; None: any.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    run: Path | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Pipeline:
    """The contents of a file.

    Arguments:
        source: Name of the file, for messages.
        folder: What relative paths are relative to.
        domain: Name of the domain.
        stages: Name -> stage, in order.
        common: Nested or dotted keys of all stages that have them.
        sample: Name of a stage -> how it samples.
    """

    source: str
    folder: Path
    domain: str
    stages: Mapping[str, Stage]
    common: Mapping[str, Any] = field(default_factory=dict)
    sample: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def earlier(self, name: str) -> list[str]:
        """Return the names of the stages before this one."""
        names = list(self.stages)
        return names[: names.index(name)]

    def with_values(self, name: str, values: Mapping[str, Any]) -> Pipeline:
        """Return the pipeline with further dotted keys of a stage, which override its own."""
        stage = self.stages[name]
        kept = without_keys(stage.values, values)
        return replace(self, stages={**self.stages, name: replace(stage, values={**kept, **values})})

    def text(self, folder: Path) -> str:
        """Return the file, as YAML, for this folder."""

        def stage(found: Stage) -> dict[str, Any]:
            if found.run is None:
                return dict(found.values)
            digest = {} if found.sha256 is None else {"sha256": found.sha256}
            path = found.run if on_hub(found.run) else os.path.relpath(found.run, folder.resolve())
            return {"run": str(path), **digest}

        values = {
            "domain": self.domain,
            **({"common": dict(self.common)} if self.common else {}),
            "stages": {name: stage(found) for name, found in self.stages.items()},
            **({"sample": {name: dict(how) for name, how in self.sample.items()}} if self.sample else {}),
        }
        return dump_yaml(values, dict.fromkeys((f"{part}.{name}" for part in values for name in self.stages), ""))


def read_pipeline(path: Path, domain: str | None = None) -> Pipeline:
    """Return the pipeline in a file.

    Arguments:
        path: The file.
        domain: Name of the domain if the file does not name one.

    Raises:
        UserError: The file is not that of a pipeline; the message names the file, the stage and the key.
    """
    return pipeline_of(read_yaml(path), str(path), path.expanduser().absolute().parent, domain)


def pipeline_of(values: Mapping[str, Any], source: str, folder: Path, domain: str | None = None) -> Pipeline:
    """Return the pipeline that nested values describe; arguments as of `Pipeline` and `read_pipeline`."""
    for key in values:
        if key not in KEYS:
            raise located_error(source, "", unknown("key", key, KEYS))
    named = values.get("domain") or domain
    if named is None:
        raise UserError(f"{source} names no domain. Add a line such as 'domain: image', or give --domain.")
    if not isinstance(named, str):
        raise UserError(f"{source}: domain should be the name of a domain, such as image, not {named!r}.")
    if domain is not None and domain != named:
        raise UserError(f"{source} is a pipeline of the domain {named}, not {domain}.")
    stages = {name: stage_of(name, found, source, folder) for name, found in sections(values, "stages", source)}
    if not stages:
        raise UserError(f"{source}: stages should hold at least one stage, such as 'stages: {{base: {{}}}}'.")
    check_names(stages, source)
    common = dict(as_mapping(f"{source}: common", values.get("common")))
    sample = {}
    for name, how in sections(values, "sample", source):
        if name not in stages:
            raise located_error(source, "sample", unknown("stage", name, stages))
        sample[name] = dict(checked_sampling(how, f"{source}: sample.{name}"))
        if (guide := how.get("guide")) is not None and guide not in stages:
            sample[name]["guide"] = str(from_folder(folder, guide))
    return Pipeline(source, folder, named, stages, common, sample)


def stage_of(name: str, values: Mapping[str, Any], source: str, folder: Path) -> Stage:
    """Return a stage of a file; arguments as of `pipeline_of`."""
    where = f"{source}: stages.{name}"
    if not NAME.fullmatch(name):
        raise UserError(f"{where}: the name of a stage consists of {NAMED}, such as base or up-2.")
    if "run" not in values:
        return Stage(dict(values))
    if further := [key for key in values if key not in EXISTING]:
        raise UserError(
            f"{where}: a run that exists takes no further keys, but {further[0]} is set. Leave out run or {further[0]}."
        )
    path, digest = values["run"], values.get("sha256")
    if not isinstance(path, str):
        raise UserError(f"{where}.run={path!r} should be the path of a run.")
    if digest is not None and not isinstance(digest, str):
        raise UserError(
            f"{where}.sha256={digest!r} should be the digest of a run's averaged weights. Put it in quotes."
        )
    place = from_folder(folder, path)
    return Stage(run=place if on_hub(place) else place.resolve(), sha256=digest)


def from_folder(folder: Path, path: str) -> Path:
    """Return the path of a run that the file of a pipeline in a folder names; the name of one on the hub stays."""
    return Path(path) if on_hub(path) else (folder / Path(path).expanduser()).absolute()


def check_names(names: Iterable[str], source: str) -> None:
    """Raise UserError if names of stages differ in capitals alone: their folders are the same on some systems."""
    known: dict[str, str] = {}
    for name in names:
        other = known.setdefault(name.lower(), name)
        if other != name:
            raise UserError(f"{source}: the stages {other} and {name} differ in capitals alone. Rename one of them.")


def checked_sampling(how: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Return how a stage samples; raise UserError if a key is unknown or a value wrong. `where` begins the message."""
    for key in how:
        if key not in (*SampleConfig.model_fields, *CHOICE):
            raise UserError(f"{where}: {unknown('key', key, (*SampleConfig.model_fields, *CHOICE))}")
    level, keep, of = plain(how.get("level", 0.0), f"{where}: level"), how.get("keep", 1), how.get("of", 1)
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 <= level < float("inf"):
        raise UserError(f"{where}: level={level!r} should be a number of at least 0.")
    check_whole(f"{where}: of", of)
    if keep != 1:
        raise UserError(f"{where}: keep={keep!r} should be 1: one draw is kept for a sample.")
    given = {key: value for key, value in how.items() if key not in CHOICE and value is not None}
    try:
        checked(SampleConfig, given)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    return how


def sections(values: Mapping[str, Any], key: str, source: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the names and mappings in a section of a file."""
    for name, inner in as_mapping(f"{source}: {key}", values.get(key)).items():
        yield name, as_mapping(f"{source}: {key}.{name}", inner)


def located_error(source: str, part: str, error: UserError) -> UserError:
    """Return an error with the place in the file before its message."""
    return UserError(f"{source}: {part}{': ' if part else ''}{error}")
