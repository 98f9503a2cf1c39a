"""One run, latent diffusion and a cascade at equal time: python benchmarks/stages.py -o DIR --domain image [--record].

Each system trains for the same minutes (`train.minutes`): a diffusion of pixels or samples for all of them; latent
diffusion and the cascade for half of them on each of two stages. All else are the defaults. A later call with the same
DIR trains and judges only what is missing. Nothing else should run on the machine, since the budget is wall time.

Images are scenes of one shape at 32 pixels with captions; the cascade enlarges 16 to 32. Sounds are plucked strings of
half a second at 16 kHz; the cascade goes from 8 to 16 kHz. The last column is the CPU time of a sample, in batches of
64.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from timing import markdown, parser, show

import polydiff
from backbones import cell
from polydiff.machine.allocator import keep_memory
from polydiff.pipeline.evaluate import evaluate
from polydiff.pipeline.train import train_pipeline
from polydiff.support.files import write_atomic

COMMON: Mapping[str, Mapping[str, Any]] = {
    "image": {"data.name": "shapes"},
    "audio": {"data.sample_rate": 16_000, "data.length": 8192},
}
METRICS = {
    "image": ("all_right", "unseen_all_right", "frechet_filters", "precision", "recall"),
    "audio": ("pitch_accuracy", "in_tune", "log_mel_fd"),
}
CASCADE: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "image": {
        "base": {"data.shrink": 2},
        "up": {"task": "upsample", "data.factor": 2, "data.noise": (0.02, 1.0)},
    },
    "audio": {
        "base": {"data.sample_rate": 8000, "data.length": 4096},
        "up": {"task": "upsample", "data.low_rate": 8000, "data.noise": (0.02, 1.0)},
    },
}
SYSTEMS = ("one run", "latent", "cascade")
BATCH, TIMED = 64, 3


def stages(domain: str, system: str) -> dict[str, dict[str, Any]]:
    """Return the stages of a system, name -> keys."""
    if system == "one run":
        return {"diffusion": {}}
    if system == "latent":
        return {"autoencoder": {"learn": "encode"}, "diffusion": {"codec": "autoencoder"}}
    return {name: dict(keys) for name, keys in CASCADE[domain].items()}


def trained(path: Path, domain: str, system: str, minutes: float) -> Any:
    """Return a system as `polydiff.load` gives it, after training for so many minutes unless it exists."""
    if not path.exists():
        made = stages(domain, system)
        each = {"train.minutes": minutes / len(made), "device": "cpu"}
        train_pipeline(
            {"domain": domain, "stages": {name: {**COMMON[domain], **keys, **each} for name, keys in made.items()}},
            path,
        )
    return polydiff.load(path)


def sampling_seconds(system: Any) -> float:
    """Return the median CPU time of a sample."""
    taken = []
    for seed in range(TIMED):
        begin = time.process_time()
        system.sample(BATCH, seed=seed, batch_size=BATCH)
        taken.append((time.process_time() - begin) / BATCH)
    return median(taken)


def judged(path: Path, system: Any, n: int) -> dict[str, Any]:
    """Return the metrics of n samples and the CPU time of one; a file beside the system's folder keeps them."""
    file = path.with_name(f"{path.name}-n{n}.json")
    if not file.exists():
        found = {"metrics": evaluate(system, n)["metrics"], "seconds": sampling_seconds(system)}
        write_atomic(file, json.dumps(found, indent=1))
    kept: dict[str, Any] = json.loads(file.read_text())
    return kept


def main(words: Sequence[str] | None = None) -> None:
    """Train, judge and print."""
    reader = parser(__doc__)
    reader.add_argument("-o", dest="output", type=Path, required=True, help="folder of the systems")
    reader.add_argument("--domain", choices=list(COMMON), default="image", help="default: image")
    reader.add_argument("--minutes", type=float, default=10, help="training time of a system; default: 10")
    reader.add_argument("-n", type=int, default=500, help="samples; default: 500")
    args = reader.parse_args(words)
    keep_memory()
    torch.set_num_threads(args.threads)
    args.output.mkdir(parents=True, exist_ok=True)
    rows = [["system", *METRICS[args.domain], "CPU s a sample"]]
    found: dict[str, Any] = {}
    for system in SYSTEMS:
        path = args.output / f"{args.domain}-{system.replace(' ', '-')}-{args.minutes:g}min"
        found = judged(path, trained(path, args.domain, system, args.minutes), args.n)
        values = [cell(found["metrics"], name, "value") for name in METRICS[args.domain]]
        rows.append([system, *values, f"{found['seconds']:.3f}"])
        print(markdown([rows[0], rows[-1]]), flush=True)
    rows.append(["real data", *(cell(found["metrics"], name, "data") for name in METRICS[args.domain]), ""])
    show(f"One run, latent diffusion and a cascade, {args.minutes:g} minutes each, n = {args.n}", markdown(rows), args)


if __name__ == "__main__":
    main()
