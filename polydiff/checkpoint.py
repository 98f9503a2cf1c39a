"""Checkpoints: a folder of safetensors and JSON, whole or absent.

    step-00002000/model.safetensors       weights as trained
                  ema.safetensors         their moving average
                  optimizer.safetensors   the optimizer's tensors
                  averages.safetensors    power-function averages (`polydiff.ema`), where the run keeps them
                  state.json              step, configuration, the codec's statistics, the optimizer's numbers
                  manifest.json           size and SHA-256 of each of the above

A checkpoint is written beside its place, flushed, then renamed, so a crash at any byte leaves the previous one whole.
Every file is checked against the manifest on load. There is no pickle. A checkpoint names a domain and a backbone,
which must be installed; nothing else that it names is ever imported.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from polydiff.errors import UserError
from polydiff.files import folder_atomic

FORMAT = 1
REQUIRED = ("model.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json")
STEP = re.compile(r"step-(\d{8,})")
Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """What a run needs to go on, or to be sampled from.

    Arguments:
        step: Optimizer steps done.
        state: JSON: "config", "statistics", "optimizer" and what else training keeps.
        model: Weights as trained.
        ema: Their moving average.
        optimizer: The optimizer's tensors; empty where only weights were asked for.
        averages: Power-function averages of the weights; empty where the run keeps none.
    """

    step: int
    state: Mapping[str, Any]
    model: Tensors
    ema: Tensors
    optimizer: Tensors
    averages: Tensors = field(default_factory=dict)

    def save(self, folder: Path) -> Path:
        """Write to folder/step-XXXXXXXX and return that path."""
        path = folder / f"step-{self.step:08d}"
        files = {
            "model.safetensors": pack(self.model),
            "ema.safetensors": pack(self.ema),
            "optimizer.safetensors": pack(self.optimizer),
            "state.json": json.dumps({"format": FORMAT, "step": self.step, **self.state}, indent=1).encode(),
        }
        if self.averages:
            files["averages.safetensors"] = pack(self.averages)
        write_files(path, files)
        return path

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read a checkpoint and check every file of it; anything missing or changed is a `UserError`."""
        if not path.is_dir():
            steps = ", ".join(map(str, steps_saved(path.parent)))
            there = f"those of {path.parent} are of the steps {steps}" if steps else f"{path.parent} holds none"
            raise UserError(f"There is no checkpoint {path}; {there}.")
        files = checked_files(path, REQUIRED)
        state = json.loads(files["state.json"])
        if state.get("format") != FORMAT:
            raise UserError(
                f"{path} has checkpoint format {state.get('format')}, this polydiff reads {FORMAT}. "
                "Use the version of polydiff that wrote it."
            )
        names = ("model", "ema", "optimizer", "averages")
        tensors = {name: load_tensors(files[f"{name}.safetensors"]) for name in names if f"{name}.safetensors" in files}
        return cls(state["step"], state, **tensors)


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
        (draft / "manifest.json").write_text(json.dumps(manifest, indent=1))


def checked_files(path: Path, required: Sequence[str]) -> dict[str, bytes]:
    """Return the contents of the files that a folder's manifest lists, each as it says; some of them must be there."""
    try:
        manifest: dict[str, dict[str, Any]] = json.loads((path / "manifest.json").read_text())
        names = sorted({*required, *manifest})
        digests = {name: (int(manifest[name]["size"]), str(manifest[name]["sha256"])) for name in names}
        files = {name: (path / name).read_bytes() for name in names}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"The checkpoint {path} is incomplete or damaged: {error}. {ADVICE}") from error
    for name, data in files.items():
        if (len(data), sha256(data)) != digests[name]:
            raise UserError(f"The checkpoint {path} is damaged: {name} is not what its manifest says. {ADVICE}")
    return files


ADVICE = "Move it away to go on from the checkpoint before it."


def steps_saved(folder: Path) -> list[int]:
    """Return the steps of the checkpoints in a folder, ascending; drafts of a crashed save do not count."""
    found = (STEP.fullmatch(path.name) for path in folder.iterdir()) if folder.is_dir() else ()
    return sorted(int(match[1]) for match in found if match)


def latest(folder: Path) -> Path:
    """Return the newest checkpoint of a folder: computed, never a file of its own."""
    steps = steps_saved(folder)
    if not steps:
        raise UserError(f"There is no checkpoint in {folder}. Train first: polydiff train --domain NAME.")
    return folder / f"step-{steps[-1]:08d}"


def prune(folder: Path, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints, and drafts that a crash left."""
    for step in steps_saved(folder)[:-keep]:
        shutil.rmtree(folder / f"step-{step:08d}")
    for draft in folder.glob(".step-*"):
        shutil.rmtree(draft)
