"""Profile of a training step: time of its parts and of its costliest operators, and the speed of the machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.profiler import ProfilerActivity, record_function
from torch.utils.flop_counter import FlopCounterMode

from polydiff.checkup.exchange import share_outside_computation
from polydiff.config.merge import Settings
from polydiff.machine.device import pick_precision
from polydiff.machine.memory import Peak, size
from polydiff.machine.ranks import ranks
from polydiff.machine.timing import fastest, waiter
from polydiff.stages.open import open_domain, suited
from polydiff.support.errors import UserError, amount
from polydiff.support.progress import announce
from polydiff.training.loop import PHASES
from polydiff.training.steps import begin, records_of

STEPS = 10
"""Number of steps timed."""
WARM, TRACED = 3, 2
"""Steps before the timed ones; steps after them that are traced, which slows them."""
COSTLIEST = 10
"""Number of operators listed."""
SPEED_SECONDS = 0.5
"""Time for which each speed of the machine is measured, in seconds."""


def profile(settings: Settings, trace: Path | str | None = None, steps: int = STEPS) -> dict[str, Any]:
    """Train for a few steps on real data and return their cost; no run is written.

    On a GPU the parts of a step are synchronised while they are timed, which training does not do.

    Arguments:
        settings: Settings of the run, which get the values that suit its data.
        trace: File (.json or .json.gz) for a trace that Perfetto and chrome://tracing show; None: none.
        steps: Number of steps timed.

    Returns:
        "seconds": of a step; "parts": seconds a step of each part (`loop.PHASES` and "other"), of this
        sum; "operators": [{"name", "calls", "seconds"}, ...], the costliest, a step each, without the operators that
        they call; "memory": MiB that training takes, weights included; "flop": of products and convolutions of the
        forward and backward part of a step, and "flops" the same a second; "machine": {"matmul", "convolution"}, flop a
        second measured here in the network's precision; "processes", and with several of them, which must all call
        this, "outside": share of a step that is not computation (`polydiff.checkup.exchange`), else None. The rest is
        of this process.
    """
    path, together = check_trace(trace), ranks()
    with together.first_before_others():
        domain = open_domain(settings.config)
    settings, domain = suited(settings, domain)
    config = settings.config
    training = begin(config, domain)
    device = next(training.module.parameters()).device
    precision = pick_precision(config.train.precision, device)
    clock, held, peak = Clock(device), size(training.module, training.ema), Peak(device)
    records = records_of(config, domain, training, WARM + steps + TRACED + 1, clock)
    announce(f"Taking {WARM + steps + TRACED + 1} steps with batches of {amount(config.train.batch_size, 'example')}")
    for _ in range(WARM):
        next(records)
    parts = clock.timed(records, steps)
    memory = held + peak.risen()
    if device.type == "cpu":  # else torch's tracer complains on stderr that it finds no GPU
        os.environ.setdefault("KINETO_LOG_LEVEL", "5")
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with torch.profiler.profile(activities=activities, acc_events=True) as traced:
        for _ in range(TRACED):
            next(records)
    if path is not None:
        traced.export_chrome_trace(str(path))
    with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as counter:
        clock.counter = counter
        next(records)
    flop = clock.flop["forward"] + clock.flop["backward"]
    return {
        "device": str(device),
        "precision": precision,
        "threads": torch.get_num_threads(),
        "processes": together.world,
        "outside": share_outside_computation(config, domain, steps) if together.world > 1 else None,
        "batch size": config.train.batch_size,
        "parameters": sum(p.numel() for p in training.module.parameters()),
        "steps": steps,
        "seconds": sum(parts.values()),
        "parts": parts,
        "operators": costliest(traced, device),
        "memory": memory,
        "flop": flop,
        "flops": flop / (parts["forward"] + parts["backward"]),
        "machine": speeds(device, torch.bfloat16 if precision == "bf16" else torch.float32),
        "trace": None if path is None else str(path),
    }


def check_trace(trace: Path | str | None) -> Path | None:
    """Return where a trace is to be written; a name of another kind of file, or in no folder, is a `UserError`."""
    if trace is None:
        return None
    path = Path(trace)
    if not path.name.endswith((".json", ".json.gz")):
        raise UserError(f"{path}: a trace is a file whose name ends in .json or .json.gz.")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}.")
    return path


class Clock:
    """Sums the seconds and, by `counter`, the operations of each part of a step, and marks the parts in a trace.

    It is the `phase` of `fit`.

    Arguments:
        device: A GPU is waited for at each end of a part.
    """

    def __init__(self, device: torch.device) -> None:
        self.wait = waiter(device)
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.counter: FlopCounterMode | None = None
        self.flop = dict.fromkeys(PHASES, 0)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time a part, and count its operations if there is a counter."""
        counted = self.counter.get_total_flops() if self.counter else 0
        with record_function(name):
            self.wait()
            start = time.perf_counter()
            yield
            self.wait()
            self.seconds[name] += time.perf_counter() - start
        self.flop[name] += self.counter.get_total_flops() - counted if self.counter else 0

    def timed(self, records: Iterator[object], steps: int) -> dict[str, float]:
        """Take some steps and return the seconds a step of each part; "other" is what is between the parts."""
        before, start = dict(self.seconds), time.perf_counter()
        for _ in range(steps):
            next(records)
        total = (time.perf_counter() - start) / steps
        parts = {name: (self.seconds[name] - before[name]) / steps for name in PHASES}
        return {**parts, "other": total - sum(parts.values())}


def costliest(traced: Any, device: torch.device) -> list[dict[str, Any]]:
    """Return the operators of most time of their own, a step; on a GPU of the time of their kernels."""
    key = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    found = [row for row in traced.key_averages() if row.key not in PHASES]
    found.sort(key=lambda row: -getattr(row, key))
    return [
        {"name": row.key, "calls": row.count / TRACED, "seconds": getattr(row, key) / 1e6 / TRACED}
        for row in found[:COSTLIEST]
    ]


@torch.no_grad()
def speeds(device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """Return the flop a second of a large product of matrices and of a large 3 x 3 convolution, measured here."""
    n, (batch, channels, side) = (8192, (64, 256, 64)) if device.type == "cuda" else (2048, (16, 128, 32))
    a = torch.rand(n, n).to(device, dtype)
    x = torch.rand(batch, channels, side, side).to(device, dtype, memory_format=torch.channels_last)
    w = torch.rand(channels, channels, 3, 3).to(device, dtype, memory_format=torch.channels_last)
    work: dict[str, tuple[int, Callable[[], object]]] = {
        "matmul": (2 * n**3, lambda: a @ a),
        "convolution": (2 * 9 * batch * side**2 * channels**2, lambda: functional.conv2d(x, w, padding=1)),
    }
    return {name: flop / fastest(call, device, SPEED_SECONDS) for name, (flop, call) in work.items()}
