"""Checkpoints: a folder of safetensors and JSON, whole or absent.

    step-00002000/model.safetensors       weights as trained
                  ema.safetensors         their moving average
                  optimizer.safetensors   the optimizer's tensors
                  averages.safetensors    power-function averages (`polydiff.run.averages`), where the run keeps them
                  state.json              step, configuration, the codec's statistics, the number of tensors in each
                                          file, and the runs that this one stands on (`polydiff.run.parents`)
                  manifest.json           size and SHA-256 of each of the above, the step, and a digest of all these

An exported model (`polydiff.run.folder`) is read as a checkpoint that holds averaged weights alone.

A checkpoint is written beside its place, flushed, then renamed, so a crash at any byte leaves the previous one whole.
Every file is checked against the manifest on load. There is no pickle. A checkpoint names a domain and a backbone,
which must be installed; nothing else that it names is ever imported.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from polydiff.hub.download import local
from polydiff.machine.processes.shards import placed
from polydiff.run.folder import Run, delete_steps, step_of, step_path, steps_saved
from polydiff.run.reading import (
    ADVICE,
    AVERAGES,
    EMA,
    FORMAT,
    KNOWN,
    MANIFEST,
    MODEL,
    OPTIMIZER,
    STATE,
    TENSORS,
    Manifest,
    check_exists,
    damaged,
    read_checked,
    read_manifest,
    read_state_file,
)
from polydiff.support.disk import check_space
from polydiff.support.errors import NonFiniteError, UserError, amount, as_path
from polydiff.support.files import folder_atomic

REQUIRED = (MODEL, EMA, OPTIMIZER, STATE)
Tensors = Mapping[str, Tensor]
T = TypeVar("T")


@dataclass(frozen=True)
class Checkpoint:
    """State from which a run is resumed or a model is loaded.

    Arguments:
        step: Optimizer steps done.
        state: JSON: "config", "statistics", "optimizer" and what else training keeps.
        model: Weights as trained; empty for an exported model.
        ema: Their moving average.
        optimizer: The optimizer's tensors; empty for an exported model.
        averages: Power-function averages of the weights; empty if the run keeps none.
    """

    step: int
    state: Mapping[str, Any]
    model: Tensors
    ema: Tensors
    optimizer: Tensors
    averages: Tensors = field(default_factory=dict)

    def save(self, folder: Path) -> Path:
        """Write to folder/step-XXXXXXXX and return that path.

        Raises:
            WriteError: It cannot be written; the folder is as before.
            NonFiniteError: A tensor is NaN or infinite; nothing is written.
        """
        path = step_path(folder, self.step)
        for name in TENSORS:
            check_finite(getattr(self, Path(name).stem), f"{path} is not written: {name}")
        files = {
            MODEL: pack(self.model),
            EMA: pack(self.ema),
            OPTIMIZER: pack(self.optimizer),
        }
        if self.averages:
            files[AVERAGES] = pack(self.averages)
        counts = {Path(name).stem: len(getattr(self, Path(name).stem)) for name in files}
        own = {"format": FORMAT, "step": self.step, "tensors": counts}
        state = {**own, **self.state, **own}  # its first keys, even if it comes from a checkpoint of another format
        files[STATE] = json.dumps(state, indent=1).encode()
        write_files(path, files, self.step)
        return path

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read a checkpoint and check every file of it; anything missing, changed or odd is a `UserError`."""
        check_exists(path)
        manifest = read_manifest(path, REQUIRED, KNOWN)
        state = read_state_file(path, manifest)
        names = [name for name in TENSORS if name in manifest.files]
        found = {Path(name).stem: tensors for name, tensors in read_tensors(path, manifest, names).items()}
        for name, count in state.get("tensors", {}).items():
            if len(found.get(name, {})) != count:
                raise damaged(path, f"{name}.safetensors holds {len(found.get(name, {}))} tensors instead of {count}")
        if manifest.ema == MODEL:
            return cls(state["step"], state, model={}, ema=found["model"], optimizer={})
        return cls(state["step"], state, **found)


def check_finite(tensors: Tensors, where: str) -> None:
    """Raise NonFiniteError if a tensor holds NaN or infinite numbers; the message begins with `where`."""
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise NonFiniteError(f"{where}: {name} is not finite. Resume from the checkpoint before.")


def checkpoint_path(path: Path | str) -> Path:
    """Return the folder of the newest checkpoint of a run, or the path itself if it is that of a checkpoint."""
    path = local(as_path("path", path))
    if step_of(path.resolve()) is not None:
        return path
    run = Run.open(path)
    return run.newest or latest(run.checkpoints)


def open_checkpoint(path: Path | str) -> Checkpoint:
    """Return the newest checkpoint of a run's folder, or the one whose folder this is."""
    return read_newest(path, Checkpoint.load)


def read_newest(path: Path | str, read: Callable[[Path], T]) -> T:
    """Return what is read of the newest checkpoint of a run, or of the one whose folder this is.

    If a process that trains the run deletes the checkpoint meanwhile, the one that replaced it is read.
    """
    while True:
        newest = checkpoint_path(path)
        try:
            return read(newest)
        except UserError:
            if newest.is_dir() or checkpoint_path(path) == newest:
                raise


def read_state(path: Path) -> tuple[dict[str, Any], str]:
    """Return the state of a checkpoint and the SHA-256 of its averaged weights, without reading any weights."""
    check_exists(path)
    manifest = read_manifest(path, REQUIRED, KNOWN)
    return read_state_file(path, manifest), manifest.files[manifest.ema][1]


def read_tensors(path: Path, manifest: Manifest, names: Sequence[str]) -> dict[str, Tensors]:
    """Return the tensors in files of a folder, each file checked against the manifest."""
    return {name: unpack(read_checked(path, manifest, name), name, path) for name in names}


def unpack(data: bytes, name: str, path: Path) -> Tensors:
    """Return the tensors of a safetensors file.

    Arguments:
        data: Its content.
        name: Its name, for messages.
        path: Its folder, for messages.
    """
    try:
        return load_tensors(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise damaged(path, f"{name} is no safetensors file ({error})") from error


def notes_of(data: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file that `unpack` could read."""
    size = int.from_bytes(data[:8], "little")
    return dict(json.loads(data[8 : 8 + size]).get("__metadata__") or {})


def check_fit(own: Tensors, stored: Tensors, source: str) -> None:
    """Raise `UserError` unless stored tensors have the names, shapes and kinds of numbers of a network's own.

    Arguments:
        own: Tensors of the network, by name.
        stored: Tensors of a checkpoint, by name.
        source: What they come from, for the message.
    """
    both = sorted(own.keys() & stored.keys())
    different = {
        ("is missing", "are missing"): sorted(own.keys() - stored.keys()),
        ("is unknown", "are unknown"): sorted(stored.keys() - own.keys()),
        ("has another shape", "have another shape"): [n for n in both if own[n].shape != stored[n].shape],
        ("holds another kind of numbers", "hold another kind of numbers"): [
            n for n in both if not same_kind(own[n], stored[n])
        ],
    }
    problems = [
        f"{amount(len(names), f'tensor {one}', f'tensors {many}')}, such as {names[0]}"
        for (one, many), names in different.items()
        if names
    ]
    if problems:
        raise UserError(
            f"{source} does not fit the network that the configuration describes: {'; '.join(problems)}. "
            "The backbone and its settings, and the conditions of the data, must be those of its run."
        )


def same_kind(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors hold the same type of numbers, or both hold real floating-point numbers."""
    return a.dtype == b.dtype or (a.is_floating_point() and b.is_floating_point())


def load_weights(module: nn.Module, weights: Tensors, source: str = "The checkpoint") -> None:
    """Put weights into a network.

    Raises:
        UserError: Names, shapes or types differ, or a weight is not finite; the message begins with the source.
    """
    own = module.state_dict()
    check_fit(own, weights, source)
    odd = [name for name, w in weights.items() if w.is_floating_point() and not bool(torch.isfinite(w).all())]
    if odd:
        raise UserError(f"{source} holds weights that are not finite numbers, such as in {odd[0]}. {ADVICE}")
    module.load_state_dict({name: placed(value, own[name]) for name, value in weights.items()})


def pack(tensors: Tensors, notes: Mapping[str, str] | None = None) -> bytes:
    """Return tensors as the bytes of a safetensors file; `notes` become its metadata."""
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return bytes(save_tensors(kept, dict(notes) if notes else None))


def sha256(data: bytes) -> str:
    """Return the SHA-256 digest in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def write_files(path: Path, files: Mapping[str, bytes], step: int) -> None:
    """Write a folder of files with their manifest, whole or not at all; `WriteError` if that is impossible.

    Arguments:
        path: The folder.
        files: Name -> content.
        step: Optimizer steps of the weights in them.
    """
    need = sum(map(len, files.values()))
    check_space(path, need)
    with folder_atomic(path, need) as draft:
        write_into(draft, files, step)


def write_into(folder: Path, files: Mapping[str, bytes], step: int) -> None:
    """Write files and their manifest into a folder that nobody reads yet; arguments as of `write_files`."""
    manifest = Manifest({name: (len(data), sha256(data)) for name, data in files.items()}, step)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / MANIFEST).write_text(json.dumps(manifest.to_json(), indent=1))


def latest(folder: Path) -> Path:
    """Return the newest checkpoint of a folder: computed, never a file of its own."""
    steps = steps_saved(folder)
    if not steps:
        raise UserError(f"There is no checkpoint in {folder}. Train first: polydiff train --domain NAME.")
    return step_path(folder, steps[-1])


def prune(folder: Path, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints, and drafts that a crash left."""
    delete_steps(folder, steps_saved(folder)[:-keep])
