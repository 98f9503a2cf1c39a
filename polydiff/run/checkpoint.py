"""Checkpoints: a folder of safetensors and JSON, whole or absent.

    step-00002000/model.safetensors       weights as trained
                  ema.safetensors         their moving average
                  optimizer.safetensors   the optimizer's tensors
                  averages.safetensors    power-function averages (`polydiff.run.averages`), where the run keeps them
                  state.json              step, configuration, the codec's statistics, the optimizer's numbers, and the
                                          runs that this one stands on (`polydiff.run.parents`)
                  manifest.json           size and SHA-256 of each of the above

A checkpoint is written beside its place, flushed, then renamed, so a crash at any byte leaves the previous one whole.
Every file is checked against the manifest on load. There is no pickle. A checkpoint names a domain and a backbone,
which must be installed; nothing else that it names is ever imported.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from polydiff.run.folder import Run, delete_steps, step_of, step_path, steps_saved
from polydiff.support.errors import UserError
from polydiff.support.files import folder_atomic

FORMAT = 1
MODEL, EMA, OPTIMIZER = "model.safetensors", "ema.safetensors", "optimizer.safetensors"
AVERAGES, STATE, MANIFEST = "averages.safetensors", "state.json", "manifest.json"
REQUIRED = (MODEL, EMA, OPTIMIZER, STATE)
TENSORS = (MODEL, EMA, OPTIMIZER, AVERAGES)
Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """State from which a run is resumed or a model is loaded.

    Arguments:
        step: Optimizer steps done.
        state: JSON: "config", "statistics", "optimizer" and what else training keeps.
        model: Weights as trained.
        ema: Their moving average.
        optimizer: The optimizer's tensors.
        averages: Power-function averages of the weights; empty if the run keeps none.
    """

    step: int
    state: Mapping[str, Any]
    model: Tensors
    ema: Tensors
    optimizer: Tensors
    averages: Tensors = field(default_factory=dict)

    def save(self, folder: Path) -> Path:
        """Write to folder/step-XXXXXXXX and return that path."""
        path = step_path(folder, self.step)
        files = {
            MODEL: pack(self.model),
            EMA: pack(self.ema),
            OPTIMIZER: pack(self.optimizer),
            STATE: json.dumps({"format": FORMAT, "step": self.step, **self.state}, indent=1).encode(),
        }
        if self.averages:
            files[AVERAGES] = pack(self.averages)
        write_files(path, files)
        return path

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read a checkpoint and check every file of it; anything missing or changed is a `UserError`."""
        check_exists(path)
        files = checked_files(path, REQUIRED)
        state = parse_state(files[STATE], path)
        found = {
            Path(name).stem: load_tensors(files[name]) for name in (MODEL, EMA, OPTIMIZER, AVERAGES) if name in files
        }
        return cls(state["step"], state, **found)


def checkpoint_path(path: Path | str) -> Path:
    """Return the folder of the newest checkpoint of a run, or the path itself if it is that of a checkpoint."""
    path = Path(path)
    return path if step_of(path.resolve()) is not None else latest(Run.open(path).checkpoints)


def open_checkpoint(path: Path | str) -> Checkpoint:
    """Return the newest checkpoint of a run's folder, or the one whose folder this is."""
    return Checkpoint.load(checkpoint_path(path))


def read_state(path: Path) -> tuple[dict[str, Any], str]:
    """Return the state of a checkpoint and the SHA-256 of its averaged weights, without reading any weights."""
    check_exists(path)
    manifest = read_manifest(path, REQUIRED)
    state = parse_state(read_checked(path, {STATE: manifest[STATE]})[STATE], path)
    return state, manifest[EMA][1]


def check_exists(path: Path) -> None:
    """Raise `UserError` unless a checkpoint's folder exists."""
    if not path.is_dir():
        steps = ", ".join(map(str, steps_saved(path.parent)))
        there = f"those of {path.parent} are of the steps {steps}" if steps else f"{path.parent} holds none"
        raise UserError(f"There is no checkpoint {path}; {there}.")


def parse_state(data: bytes, path: Path) -> dict[str, Any]:
    """Return the contents of state.json; another format than this version's is a `UserError`."""
    state: dict[str, Any] = json.loads(data)
    if state.get("format") != FORMAT:
        raise UserError(
            f"{path} has checkpoint format {state.get('format')}, this polydiff reads {FORMAT}. "
            "Use the version of polydiff that wrote it."
        )
    return state


def load_weights(module: nn.Module, weights: Tensors, source: str = "The checkpoint") -> None:
    """Put weights into a network; names or shapes that differ are a `UserError` that names their source."""
    own = module.state_dict()
    different = {
        "are missing": sorted(own.keys() - weights.keys()),
        "are unknown": sorted(weights.keys() - own.keys()),
        "have another shape": sorted(n for n in own.keys() & weights.keys() if own[n].shape != weights[n].shape),
    }
    problems = [f"{len(names)} tensors {what}, such as {names[0]}" for what, names in different.items() if names]
    if problems:
        raise UserError(
            f"{source} does not fit the network that the configuration describes: {'; '.join(problems)}. "
            "The backbone and its settings, and the conditions of the data, must be those of its run."
        )
    module.load_state_dict(dict(weights))


def pack(tensors: Tensors) -> bytes:
    """Return tensors as the bytes of a safetensors file."""
    return bytes(save_tensors({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))


def sha256(data: bytes) -> str:
    """Return the SHA-256 digest in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def write_files(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder of files with their manifest, whole or not at all."""
    with folder_atomic(path) as draft:
        for name, data in files.items():
            (draft / name).write_bytes(data)
        manifest = {name: {"size": len(data), "sha256": sha256(data)} for name, data in files.items()}
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=1))


def checked_files(path: Path, required: Sequence[str]) -> dict[str, bytes]:
    """Return the contents of the files in a folder's manifest, checked against it; it must list the required ones."""
    return read_checked(path, read_manifest(path, required))


def read_checked(path: Path, manifest: Mapping[str, tuple[int, str]]) -> dict[str, bytes]:
    """Return the contents of files of a folder, each with the size and digest of its manifest."""
    try:
        files = {name: (path / name).read_bytes() for name in manifest}
    except OSError as error:
        raise incomplete(path, error) from error
    for name, data in files.items():
        if (len(data), sha256(data)) != manifest[name]:
            raise UserError(f"The checkpoint {path} is damaged: {name} does not match its manifest. {ADVICE}")
    return files


def read_manifest(path: Path, required: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Return size and SHA-256 of the files that a folder's manifest lists; it must list the required ones."""
    try:
        manifest: dict[str, dict[str, Any]] = json.loads((path / MANIFEST).read_text())
        names = sorted({*required, *manifest})
        return {name: (int(manifest[name]["size"]), str(manifest[name]["sha256"])) for name in names}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise incomplete(path, error) from error


def incomplete(path: Path, error: Exception) -> UserError:
    """Return the error for a checkpoint of which something is missing."""
    return UserError(f"The checkpoint {path} is incomplete or damaged: {error}. {ADVICE}")


ADVICE = "Move it away to resume from the previous checkpoint."


def latest(folder: Path) -> Path:
    """Return the newest checkpoint of a folder: computed, never a file of its own."""
    steps = steps_saved(folder)
    if not steps:
        raise UserError(f"There is no checkpoint in {folder}. Train first: polydiff train --domain NAME.")
    return step_path(folder, steps[-1])


def prune(folder: Path, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints, and drafts that a crash left."""
    delete_steps(folder, steps_saved(folder)[:-keep])
