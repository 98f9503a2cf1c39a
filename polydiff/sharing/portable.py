"""A run as an exported model: averaged weights and what sampling needs, without the paths of this machine.

    DIR/model.safetensors      averaged weights: the bytes of ema.safetensors of the checkpoint
        config.json            step, configuration, statistics, versions, the runs that it was made with
        manifest.json          size and SHA-256 of both, as in a checkpoint
        config.resolved.yaml   the configuration, to read and to train again with
        parts/codec/           the run that the key `codec` names, as an exported model, and so for other keys
        parts/text-encoder/    a pretrained text encoder

Paths that keys name become relative: to the copy if the folder has one, else the last name of the path, so that data
are found in the current folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from polydiff.config.keys import leaves
from polydiff.config.saved import config_of_state
from polydiff.contract.sections.run import Config
from polydiff.contract.text.encoded import digest_of, encoder_files
from polydiff.hub.files import CONFIG, ENCODER, RESOLVED, WEIGHTS
from polydiff.hub.names import on_hub
from polydiff.run.calibrations import copy_fitted
from polydiff.run.checkpoint import write_into
from polydiff.run.folder import part_path, run_of
from polydiff.run.parents import Records, located, open_parent, parents_of
from polydiff.run.reading import (
    EMA,
    FORMAT,
    KNOWN,
    STATE,
    read_checked,
    read_manifest,
    read_shapes,
    read_state_file,
    with_folders,
)
from polydiff.stages.open import STAGES
from polydiff.support.errors import UserError
from polydiff.support.yaml_text import dump_yaml

INITIAL = "train.init"
"""Key of a run that is read once, before the first step, and so not needed to sample."""
CAPTIONS = "data.text.encoder"
"""Key of the folder of the text encoder that reads captions."""
PATHS, REQUESTED = ("features", "guide", "path"), ("cond", "requested")
"""Keys of evaluations and samples: those whose values are paths, and those of requested conditions."""
Names = tuple[str, ...]
"""Names of a key, from the outermost section on."""


@dataclass
class Encoders:
    """The text encoders of an exported model, each copied once.

    Arguments:
        root: Folder of the exported model.
        copied: Digest of an encoder -> folder of its copy.
    """

    root: Path
    copied: dict[str, Path] = field(default_factory=dict)

    def copy(self, folder: Path) -> Path:
        """Return the folder of the copy of an encoder."""
        if not folder.is_dir():
            raise UserError(f"The text encoder {folder} is not there, and samples need it. Bring the folder back.")
        digest = digest_of(folder)
        if digest not in self.copied:
            number = f"-{len(self.copied) + 1}" if self.copied else ""
            place = self.copied[digest] = part_path(self.root, f"{ENCODER}{number}")
            place.mkdir(parents=True)
            for path in encoder_files(folder):
                shutil.copyfile(path, place / path.name)
        return self.copied[digest]


def write_model(checkpoint: Path, place: Path, encoders: Encoders, *, part: bool = False) -> dict[str, Any]:
    """Write a checkpoint as an exported model, with the models that it needs, and return the record of its weights.

    Arguments:
        checkpoint: Folder of a checkpoint, of an exported model, or of a copy in a run's folder.
        place: Folder of the exported model, which does not exist or is empty.
        encoders: Where text encoders go.
        part: Whether another model needs it, for which a guide and the file for people are left out.

    Returns:
        "step", "sha256" and "domain", as `polydiff.run.parents` records them.

    Raises:
        UserError: A file is damaged, or a run that is needed is missing or has other weights now.
    """
    manifest = read_manifest(checkpoint, (EMA, STATE), KNOWN)
    state, weights = read_state_file(checkpoint, manifest), read_checked(checkpoint, manifest, manifest.ema)
    run = run_of(checkpoint).path
    records: Records = state.get("parents", {})
    config = located(config_of_state(state, str(checkpoint)), records, run)
    if part:
        config = config.model_copy(update={"sample": config.sample.model_copy(update={"guide": None})})
    place.mkdir(parents=True, exist_ok=True)
    copies: dict[str, str] = {}
    kept: dict[str, Any] = {}
    for key, path in parents_of(config).items():
        if key == INITIAL:
            if key in records:
                name = last_name(path)
                kept[key] = {**records[key], "path": name, "relative": name}
            continue
        copies[key] = os.fspath(part_path(Path(), key))
        found = write_model(source_of(key, path, run, records), place / copies[key], encoders, part=True)
        kept[key] = {"path": copies[key], "relative": copies[key], **found}

    def encoder(folder: str, _: str) -> str:
        copies[CAPTIONS] = os.path.relpath(encoders.copy(Path(folder)), place)
        return copies[CAPTIONS]

    statistics = with_folders(state["statistics"], encoder)
    values = portable(config, copies)
    provenance = {key: without_folder(str(source)) for key, source in state.get("provenance", {}).items()}
    own: dict[str, Any] = {
        "library": "polydiff",
        "format": FORMAT,
        "step": int(state["step"]),
        "tensors": {Path(WEIGHTS).stem: len(read_shapes(checkpoint, manifest.ema))},
        "config": values,
        "statistics": statistics,
        "parents": kept,
        "provenance": provenance,
        **{key: state[key] for key in ("seconds", "examples", "environment", "plugins") if key in state},
    }
    write_into(place, {WEIGHTS: weights, CONFIG: json.dumps(own, indent=1).encode()}, own["step"])
    if not part:
        text = dump_yaml(values, dict.fromkeys(leaves(type(config)), "") | provenance)
        (place / RESOLVED).write_text(text, encoding="utf-8")
        copy_fitted(run, place)
    return {"step": own["step"], "sha256": manifest.files[manifest.ema][1], "domain": config.domain}


def source_of(key: str, path: Path, run: Path, records: Records) -> Path:
    """Return the folder from which a run that another one needs is copied: the copy that this one has, or its own.

    Arguments:
        key: Key that names it.
        path: Value of the key.
        run: Folder of the run that needs it.
        records: What that run's checkpoint records of the runs that it needs.
    """
    copied = part_path(run, key)
    if copied.is_dir():
        return copied
    parent = open_parent(key, path)
    if key.partition(".")[0] in STAGES and parent.sha256 != records.get(key, {}).get("sha256"):
        raise UserError(f"{copied} is missing, and {key}={path} has other weights now. Restore the folder.")
    parent.warn_if_changed(records)
    return parent.checkpoint


def portable(config: Config, copies: Mapping[str, str]) -> dict[str, Any]:
    """Return a configuration as JSON, with relative paths.

    Arguments:
        config: The configuration.
        copies: Dotted key of a run or an encoder -> path of its copy, relative to the exported model.
    """
    values = config.model_dump(mode="json") | {"track": [], "track_options": {}}  # accounts and folders of its author
    for names, path in path_values(config):
        inner = values
        for name in names[:-1]:
            inner = inner[name]
        inner[names[-1]] = copies.get(".".join(names), last_name(path))
    return values


def path_values(value: Any, names: Names = ()) -> Iterator[tuple[Names, Path]]:
    """Yield the names of each key whose value is a path, and the path."""
    if isinstance(value, Path):
        yield names, value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from path_values(getattr(value, name), (*names, name))
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from path_values(inner, (*names, name))


def last_name(path: Path) -> str:
    """Return the last name of a path; the name of a model on the hub stays."""
    return str(path) if on_hub(path) else path.name


def without_folders(value: Any) -> Any:
    """Return the JSON of an evaluation or of samples without folders of this machine.

    The path of a feature extractor, a guide, a pair or the array of a condition becomes its last name, wherever its
    text occurs; all other texts stay.
    """
    paths = sorted(set(paths_in(value)), key=len, reverse=True)

    def short(inner: Any) -> Any:
        if isinstance(inner, dict):
            return {key: short(one) for key, one in inner.items()}
        if isinstance(inner, list):
            return [short(one) for one in inner]
        if isinstance(inner, str):
            for path in paths:
                inner = inner.replace(path, path.rpartition("/")[2])
        return inner

    return short(value)


def paths_in(value: Any, key: str = "") -> Iterator[str]:
    """Yield the texts in JSON that are paths with a folder: those of `PATHS`, and of requested arrays.

    Arguments:
        value: The JSON.
        key: Its key in the object that holds it; "": it is in none.
    """
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from paths_in(inner, key if key in REQUESTED else name)
    elif isinstance(value, list):
        for inner in value:
            yield from paths_in(inner, key)
    elif isinstance(value, str) and "/" in value and not on_hub(value):
        yield from [value] if key in PATHS or (key in REQUESTED and value.endswith(".npy")) else ()


def without_folder(source: str) -> str:
    """Return the source of a value, such as "file /home/me/my.yaml, common", with the last name of its file alone."""
    return re.sub(r"^(file )?.*/", r"\1", source)
