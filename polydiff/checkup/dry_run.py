"""Cost of a run before it starts: shapes, parameters, memory and time per step, measured on a few training steps."""

from __future__ import annotations

import time
from collections.abc import Mapping
from statistics import median
from typing import Any

import torch

from polydiff.config.merge import Settings
from polydiff.machine.device import pick_precision
from polydiff.machine.memory import Peak, size
from polydiff.stages.open import open_domain, suited
from polydiff.support.errors import amount
from polydiff.support.progress import announce, counted
from polydiff.training.batch_check import check_batch
from polydiff.training.data import batches
from polydiff.training.steps import begin, records_of

STEPS = 6
"""Number of steps; the first, which allocates memory, is not timed."""


def dry_run(settings: Settings, steps: int = STEPS) -> dict[str, Any]:
    """Take a few training steps on real data and return sizes, memory and time; nothing is written.

    Arguments:
        settings: Settings of the run, which get the values that suit its data.
        steps: Number of steps, at least two.

    Returns:
        Values by name, with the unit in the name. Memory of training is that of weights, their average, gradients,
        optimizer state and activations; peak memory includes libraries and data.
    """
    settings, domain = suited(settings, open_domain(settings.config))
    config, how = settings.config, settings.config.train
    check_batch(config, domain)
    announce(f"Preparing a batch of {amount(how.batch_size, 'example')}")
    first = batches(domain, how.batch_size, config.seed, how.condition_dropout, how.like_sizes)(0)
    training = begin(config, domain)
    device, held = next(training.module.parameters()).device, size(training.module, training.ema)
    peak, times, clock = Peak(device), [], time.perf_counter()
    announce(f"Taking {amount(steps, 'step')} with such batches")
    for _ in counted("steps", steps, records_of(config, domain, training, steps)):
        times.append(time.perf_counter() - clock)
        clock = time.perf_counter()
    seconds = median(times[1:])
    return {
        "device": str(device),
        "precision": pick_precision(how.precision, device),
        "threads": torch.get_num_threads(),
        "training examples": domain.size("train"),
        "test examples": domain.size("test"),
        "batch shape": shape_of(first.x),
        "conditions": {name: list(value.shape) for name, value in (first.cond or {}).items()},
        "dimensions of an example": interval(first.space.dim.min().item(), first.space.dim.max().item()),
        "parameters": sum(p.numel() for p in training.module.parameters()),
        "memory of training (MiB)": round(held + peak.risen()),
        "peak memory (MiB)": round(peak.total()),
        "seconds a step": round(seconds, 4),
        "steps": how.steps,
        "minutes of training": round(seconds * how.steps / 60, 1),
    }


def shape_of(x: Any) -> Any:
    """Return the shape of a state, or those of the parts of one by name."""
    return {name: list(part.shape) for name, part in x.items()} if isinstance(x, Mapping) else list(x.shape)


def interval(low: float, high: float) -> str:
    """Return two whole numbers as text, such as 27 to 60, or as one number if they are equal."""
    return f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"
