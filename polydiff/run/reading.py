"""What a run's folder holds, read strictly: regular files of bounded size, with the expected keys, types and ranges.

A run may come from somebody else, and files may be damaged. Whatever is wrong with a checkpoint is one `UserError` that
names the file. Lines of metrics.jsonl are read by `polydiff.run.records`. Importing this module imports no torch.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from polydiff.hub import files
from polydiff.machine.host_memory import host_memory
from polydiff.run.folder import Run, step_of, steps_saved
from polydiff.support.errors import UserError
from polydiff.support.reading import MOST, Strict, first_problem, open_regular, parse_json, read_regular, reason

FORMAT = 2
FORMATS = (1, 2)
"""Formats that can be read: 2 is 1 with a manifest that has a digest of its own."""
MODEL, EMA, OPTIMIZER = "model.safetensors", "ema.safetensors", "optimizer.safetensors"
AVERAGES, STATE, MANIFEST = "averages.safetensors", "state.json", files.MANIFEST
CONFIG = files.CONFIG
"""State of an exported model (`polydiff.run.folder`), in place of state.json."""
TENSORS = (MODEL, EMA, OPTIMIZER, AVERAGES)
KNOWN = (*TENSORS, STATE, CONFIG)
"""Files that a manifest may list."""
EXPORTED = (MODEL, CONFIG)
"""Files that the manifest of an exported model lists; its weights are averaged ones."""
ADVICE = "Move it away to resume from the previous checkpoint."

SET = "set"
"""Key of a manifest: the step, and the digest of the step and of all entries."""
Facts = tuple[int, str]
"""Size of a file in bytes, and its SHA-256 in hexadecimal."""
Count = Annotated[int, Field(ge=0, lt=10**15)]


class FileRecord(Strict):
    """Entry of a file in manifest.json."""

    size: Count
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class SetRecord(Strict):
    """Entry "set" of manifest.json."""

    step: Count
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


@dataclass(frozen=True)
class Manifest:
    """What manifest.json says.

    Arguments:
        files: Name of each file -> its facts.
        step: Step of the checkpoint or snapshot; None in one of format 1, whose manifests have no digest of their own.
    """

    files: Mapping[str, Facts]
    step: int | None

    @property
    def ema(self) -> str:
        """Name of the file of the averaged weights, the only ones of an exported model."""
        return EMA if EMA in self.files else MODEL

    @property
    def state(self) -> str:
        """Name of the file of the state."""
        return STATE if STATE in self.files else CONFIG

    def to_json(self) -> dict[str, Any]:
        """Return the contents of manifest.json."""
        entries = {name: {"size": size, "sha256": sha256} for name, (size, sha256) in self.files.items()}
        return {**entries, SET: {"step": self.step, "sha256": self.digest}}

    @property
    def digest(self) -> str:
        """SHA-256 of the step, and of the sorted names with their facts."""
        lines = [f"{name} {size} {sha256}" for name, (size, sha256) in sorted(self.files.items())]
        return hashlib.sha256("\n".join([f"step {self.step}", *lines]).encode()).hexdigest()


class TensorRecord(Strict):
    """Entry of a tensor in the header of a safetensors file."""

    shape: list[Count]
    data_offsets: Annotated[list[Count], Field(min_length=2, max_length=2)]


class ParentRecord(Strict):
    """Entry of a run in "parents" of state.json (`polydiff.run.parents`)."""

    path: str
    relative: str
    step: Count
    sha256: str
    domain: str


class EnvironmentRecord(Strict):
    """Entry "environment" of state.json."""

    versions: dict[str, str] = Field({})


class DataRecord(Strict):
    """Entry "data" of state.json (`polydiff.contract.data.identity`)."""

    count: Count
    names: str
    contents: str = ""
    order: str = ""


class State(Strict):
    """Keys of state.json that polydiff reads."""

    step: Count
    config: dict[str, Any] = Field({})
    statistics: dict[str, Any] = Field({})
    provenance: dict[str, str] = Field({})
    seconds: float = Field(0.0, ge=0)
    examples: Count | None = None
    environment: EnvironmentRecord = EnvironmentRecord()
    parents: dict[str, ParentRecord] = Field({})
    tensors: dict[str, Count] = Field({})
    data: DataRecord | None = None
    plugins: dict[str, str] = Field({})


def damaged(path: Path, problem: str) -> UserError:
    """Return the error for a checkpoint, a snapshot or an exported model of which something is missing or wrong."""
    if Run(path).exported:
        return UserError(f"The exported model {path} is damaged: {problem}. Export or download it again.")
    return UserError(f"The checkpoint {path} is damaged: {problem}. {ADVICE}")


def check_exists(path: Path) -> None:
    """Raise `UserError` unless a checkpoint's folder exists."""
    if not path.is_dir():
        steps = ", ".join(map(str, steps_saved(path.parent)))
        there = f"those of {path.parent} are of the steps {steps}" if steps else f"{path.parent} holds none"
        raise UserError(f"There is no checkpoint {path}; {there}.")


def read_manifest(path: Path, required: Collection[str], known: Collection[str]) -> Manifest:
    """Return what a folder's manifest says, checked against its own digest and the folder's name.

    Arguments:
        path: The folder.
        required: Files that the manifest must list, unless it lists those of an exported model.
        known: Files that it may list.
    """
    try:
        found = parse_json(read_regular(path / MANIFEST))
        if not isinstance(found, dict):
            raise ValueError("it holds no object")
        own = SetRecord.model_validate(found.pop(SET)) if SET in found else None
        unknown = sorted(found.keys() - known)
        if unknown:
            raise ValueError(f"it lists {unknown[0][:80]!r}, which is no file of a checkpoint")
        if (missing := sorted(set(required) - found.keys())) and not set(EXPORTED) <= found.keys():
            raise ValueError(f"it does not list {missing[0]}")
        records = {name: FileRecord.model_validate(entry) for name, entry in found.items()}
        facts = {name: (record.size, record.sha256) for name, record in records.items()}
        manifest = Manifest(facts, own.step if own else None)
        if own and own.sha256 != manifest.digest:
            raise ValueError("its entries do not match its digest")
    except ValidationError as error:
        raise damaged(path, f"{MANIFEST}: {first_problem(error)}") from error
    except (OSError, ValueError) as error:
        raise damaged(path, f"{MANIFEST}: {reason(error)}") from error
    if manifest.step is not None:
        check_step(path, manifest.step)
    return manifest


def check_step(path: Path, step: int) -> None:
    """Raise `UserError` if a folder's name, or the name of what it is a link to, is that of another step."""
    for place in (path, path.resolve()):
        if step_of(place) not in (None, step):
            raise damaged(path, f"it holds step {step}, but its folder is named {place.name}")


def read_checked(path: Path, manifest: Manifest, name: str) -> bytes:
    """Return the content of a file of a folder, which has the size and the digest of its manifest.

    Before it is read, its header must account for its size, and it must fit in memory: a sparse file may have any size.
    """
    facts = manifest.files[name]
    if name in TENSORS and facts[0] > MOST:
        read_shapes(path, name)
    try:
        if facts[0] > host_memory() * 2**20:
            raise ValueError(f"it has {facts[0]:,} bytes, more than the memory that is available")
        data = read_regular(path / name, facts[0])
    except FileNotFoundError as error:
        raise damaged(path, f"{name} is missing") from error
    except (OSError, ValueError) as error:
        raise damaged(path, f"{name}: {reason(error)}") from error
    if (len(data), hashlib.sha256(data).hexdigest()) != facts:
        raise damaged(path, f"{name} does not match its manifest")
    return data


def read_state_file(path: Path, manifest: Manifest) -> dict[str, Any]:
    """Return the state of a checkpoint, checked against its manifest, its types and its step.

    Paths in the statistics of an exported model, which are relative to its folder, are made absolute.
    """
    name = manifest.state
    size, _ = manifest.files[name]
    if size > MOST:
        raise damaged(path, f"{name} has {size:,} bytes, more than {MOST:,}")
    state = parse_state(read_checked(path, manifest, name), path, name)
    if manifest.step is None and state["format"] > 1:
        raise damaged(path, f"{MANIFEST} lacks its digest")
    if manifest.step not in (None, state["step"]):
        raise damaged(path, f"{name} holds step {state['step']}, {MANIFEST} step {manifest.step}")
    if name == CONFIG and "statistics" in state:
        state["statistics"] = with_folders(state["statistics"], lambda folder, _: os.fspath(path.absolute() / folder))
    return state


def with_folders(statistics: Any, change: Callable[[str, str], str]) -> Any:
    """Return statistics in which the folder of each text encoder is changed (`polydiff.contract.text.encoded`).

    Arguments:
        statistics: The statistics, or a part of them.
        change: Returns the new folder of an encoder with this folder and this digest.
    """
    if isinstance(statistics, dict):
        folder, digest = statistics.get("folder"), statistics.get("digest")
        if isinstance(folder, str) and isinstance(digest, str):
            return {**statistics, "folder": change(folder, digest)}
        return {key: with_folders(value, change) for key, value in statistics.items()}
    return [with_folders(value, change) for value in statistics] if isinstance(statistics, list) else statistics


def parse_state(data: bytes, path: Path, name: str = STATE) -> dict[str, Any]:
    """Return the contents of a file of state; another format, wrong types, or the step of another folder are errors."""
    try:
        state = parse_json(data)
    except ValueError as error:
        raise damaged(path, f"{name}: {error}") from error
    if not isinstance(state, dict):
        raise damaged(path, f"{name} holds no object")
    if type(state.get("format")) is not int or state["format"] not in FORMATS:
        raise UserError(
            f"{path} has checkpoint format {str(state.get('format'))[:80]}, this polydiff reads 1 and {FORMAT}. "
            "Use the version of polydiff that wrote it."
        )
    try:
        State.model_validate(state)
    except ValidationError as error:
        raise damaged(path, f"{name}: {first_problem(error)}") from error
    check_step(path, state["step"])
    return state


def read_shapes(path: Path, name: str) -> dict[str, list[int]]:
    """Return the shapes of the tensors in a safetensors file of a checkpoint, by name; only its header is read."""
    try:
        with open_regular(path / name) as file:
            size = int.from_bytes(file.read(8), "little")
            if size > MOST:
                raise ValueError(f"its header has {size:,} bytes, more than {MOST:,}")
            header = parse_json(file.read(size))
            end = os.fstat(file.fileno()).st_size - 8 - size
        if not isinstance(header, dict):
            raise ValueError("its header is no object")
        header.pop("__metadata__", None)
        tensors = {key: TensorRecord.model_validate(entry) for key, entry in header.items()}
        if max((tensor.data_offsets[1] for tensor in tensors.values()), default=0) != end:
            raise ValueError("its header describes another size")
        return {key: tensor.shape for key, tensor in tensors.items()}
    except ValidationError as error:
        raise damaged(path, f"{name} is no safetensors file ({first_problem(error)})") from error
    except (OSError, ValueError) as error:
        raise damaged(path, f"{name} is no safetensors file ({reason(error)})") from error


def read_text(path: Path) -> str:
    """Return the text of a file of a run's folder, with odd bytes replaced; "" if it is missing."""
    if not os.path.lexists(path):
        return ""
    try:
        return read_regular(path).decode("utf-8", errors="replace")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {reason(error)}. Move it away.") from error
