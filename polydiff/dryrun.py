"""What a run would take: shapes, parameters, memory and seconds a step, measured on one real batch."""

from __future__ import annotations

import resource
import sys
import time
from statistics import median
from typing import Any

import torch

from polydiff.config import Config
from polydiff.data import batches
from polydiff.plugins import build_domain
from polydiff.trainer import begin, build_loss
from polydiff.training import fit

STEPS = 6
"""Steps timed; the first, which allocates, is left out."""


def dry_run(config: Config) -> dict[str, Any]:
    """Build everything, take a few steps on real data and return what they took; nothing is written.

    Returns:
        Names and values, in units that the names say.
    """
    domain = build_domain(config)
    training = begin(config, domain)
    settings = config.train
    source = batches(domain, settings.batch_size, config.seed, settings.condition_dropout)
    first = source(0)
    times, clock = [], time.perf_counter()
    for _ in fit(training, source, steps=STEPS, batch_size=settings.batch_size, loss=build_loss(config)):
        times.append(time.perf_counter() - clock)
        clock = time.perf_counter()
    seconds = median(times[1:])
    device = next(training.denoiser.parameters()).device
    return {
        "device": str(device),
        "precision": training.denoiser.precision,
        "threads": torch.get_num_threads(),
        "training examples": domain.size("train"),
        "test examples": domain.size("test"),
        "batch shape": list(first.x.shape),
        "conditions": {name: list(value.shape) for name, value in (first.cond or {}).items()},
        "true dimension": f"{first.space.dim.min():.0f} to {first.space.dim.max():.0f}",
        "parameters": sum(p.numel() for p in training.denoiser.parameters()),
        "peak memory (MiB)": round(peak_memory(device)),
        "seconds a step": round(seconds, 4),
        "steps": settings.steps,
        "minutes of training": round(seconds * settings.steps / 60, 1),
    }


def peak_memory(device: torch.device) -> float:
    """Return the most memory taken so far, in MiB: of the GPU, or of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
