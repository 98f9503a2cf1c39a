"""Golden files, tests/golden: small checkpoints, samples from them, and the course of short trainings.

The code before the first change of the package layout wrote them, so that a change of structure can show that it
changed no number. Run this only to add a case:  python tests/helpers/golden.py NAME
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

import polydiff
from polydiff.training.trainer import resume

HERE = Path(__file__).parent.parent / "golden"
STEPS = 50
COMMON = {
    "seed": 3,
    "device": "cpu",
    "train.steps": STEPS,
    "train.batch_size": 4,
    "train.precision": "float32",
    "train.checkpoint_every": STEPS,
    "train.sample_every": 1000,
    "train.log_every": 10,
}
CASES: dict[str, dict[str, Any]] = {
    "image": {
        "backbone.channels": 8,
        "backbone.mult": [1, 1],
        "backbone.blocks": 1,
        "backbone.heads": 2,
        "optim.name": "adamw",  # the optimizer of that time
    },
    "audio": {
        "optim.name": "adamw",
        "backbone.channels": 8,
        "backbone.heads": 2,
        "backbone.patch": 16,
        "backbone.attention": [2],
        "backbone.spectral_window": 0,  # the network and the noise levels of that time
        "loss.times_options": {"mean": 1.8, "std": 2.6},
        "data.length": 512,
        "data.n_train": 64,
        "data.n_test": 16,
    },
    "molecule": {"backbone.hidden": 8, "backbone.layers": 2, "backbone.pair": 8, "data.max_heavy": 4},
    "sequence": {"backbone.width": 16, "backbone.depth": 1, "backbone.heads": 1, "data.largest": 9},
}
RESUMED = 4
"""Steps that an old run is resumed for."""
REQUESTS: dict[str, dict[str, Any]] = {
    "default": {},
    "ddpm": {"sampler": "ddpm", "steps": 6},
    "heun": {"sampler": "heun", "steps": 4},
    "guided": {"sampler": "dpmpp_2m", "steps": 5, "guidance": 2.0},
}
OF_LETTERS: dict[str, dict[str, Any]] = {"default": {}, "few": {"steps": 3}}
"""Requests of the domain sequence, whose process has samplers of its own and which has no conditions here."""


def numbers(example: Any) -> torch.Tensor:
    """Return the numbers of a picture, a sound, a molecule or a text."""
    if isinstance(example, str):
        return torch.tensor([ord(letter) for letter in example], dtype=torch.float64)
    tensor = example if isinstance(example, torch.Tensor) else torch.as_tensor(example.positions)
    return tensor.detach().double().flatten()


def samples(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Return two samples of each request, as numbers in a row."""
    model = polydiff.load(checkpoint, device="cpu")
    requests = OF_LETTERS if model.config.domain == "sequence" else REQUESTS
    found = {name: model.sample(2, seed=5, batch_size=2, **how) for name, how in requests.items()}
    return {name: torch.cat([numbers(e) for e in made.examples]) for name, made in found.items()}


def resumed(checkpoint: Path, folder: Path) -> Path:
    """Resume an old checkpoint for `RESUMED` steps in a folder, and return it."""
    shutil.copytree(checkpoint, folder / "checkpoints" / checkpoint.name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it is of another version and has no digest of its data
        return resume(folder, STEPS + RESUMED)


def course(folder: Path, step: int = STEPS) -> dict[str, Any]:
    """Return the losses of a run to this step and the digest of its weights."""
    weights = load_file(folder / "checkpoints" / f"step-{step:08d}" / "ema.safetensors")
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + weights[name].contiguous().numpy().tobytes())
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return {"losses": [json.loads(line)["loss"] for line in lines], "weights": digest.hexdigest()}


def machine() -> str:
    """Return the processor and the version of torch, on which the order of sums depends."""
    info = Path("/proc/cpuinfo")
    lines = [line.partition(":") for line in info.read_text().split("\n\n")[0].splitlines()] if info.is_file() else []
    found = {key.strip(): value.strip() for key, _, value in lines}
    model = [found.get(key, "?") for key in ("vendor_id", "cpu family", "model")]
    return " ".join([*model, torch.backends.cpu.get_cpu_capability(), torch.__version__])


def train(name: str, folder: Path) -> Path:
    """Train a case and return the folder of its run."""
    return polydiff.train(name, folder, overrides={**COMMON, **CASES[name]})


def make(name: str) -> None:
    """Write NAME.json, NAME.safetensors and NAME/step-00000050."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        run = train(name, Path(place) / "run")
        step = run / "checkpoints" / f"step-{STEPS:08d}"
        shutil.copytree(step, HERE / name / step.name, dirs_exist_ok=True)
        again = course(resumed(HERE / name / step.name, Path(place) / "again"), STEPS + RESUMED)
        facts = {"machine": machine(), **course(run), "resumed": again}
        (HERE / f"{name}.json").write_text(json.dumps(facts, indent=1) + "\n")
    save_file(samples(HERE / name / f"step-{STEPS:08d}"), HERE / f"{name}.safetensors")


if __name__ == "__main__":
    for chosen in sys.argv[1:] or CASES:
        make(chosen)
