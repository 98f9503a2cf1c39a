"""Runs of a few steps with small networks, and what tests do with them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import torch

from polydiff.run.checkpoint import Checkpoint, latest
from polydiff.run.folder import Run
from polydiff.training.loop import Record
from polydiff.training.trainer import train

TINY: dict[str, Any] = {
    "train.steps": 12,
    "train.batch_size": 8,
    "train.checkpoint_every": 4,
    "train.log_every": 1,
    "train.keep": 9,
    "sample.steps": 4,
}
SMALL_NETS: dict[str, dict[str, Any]] = {
    "image": {"backbone.channels": 16, "backbone.blocks": 1, "backbone.dropout": 0.2},
    "audio": {"backbone.channels": 16, "backbone.blocks": 1},
    "molecule": {"backbone.hidden": 16, "backbone.layers": 2, "data.max_heavy": 3},
}


def tiny(domain: str, path: Path, progress: Any = None, **more: Any) -> Path:
    return train(domain, path, overrides={**TINY, **SMALL_NETS[domain], **more}, progress=progress)


def assert_same_run(a: Path, b: Path) -> None:
    """Weights, averages, optimizer and log agree bit by bit; only times of day differ."""
    ours, theirs = (Checkpoint.load(latest(Run(path).checkpoints)) for path in (a, b))
    assert ours.step == theirs.step
    for name in ("model", "ema", "optimizer"):
        x, y = getattr(ours, name), getattr(theirs, name)
        assert x.keys() == y.keys()
        assert [key for key in x if not torch.equal(x[key], y[key])] == []
    logs = [[(r["step"], r["loss"], r["grad_norm"], r["lr"]) for r in Run(path).records()] for path in (a, b)]
    assert logs[0] == logs[1]


def assert_alike(run: Path, other: Path) -> None:
    """Losses and averages agree up to the rounding of sums in another order."""
    a, b = (torch.tensor([record["loss"] for record in Run(path).records()]) for path in (run, other))
    torch.testing.assert_close(a, b, rtol=1e-5, atol=0)
    ours, theirs = (Checkpoint.load(latest(Run(path).checkpoints)).ema for path in (run, other))
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-3, atol=3e-5, msg=lambda text, n=name: f"{n}: {text}")


def stop_at(step: int, number: int = signal.SIGINT) -> Any:
    """Send this process a signal, by default that of Ctrl-C, after a step."""

    def progress(record: Record, seconds: float) -> None:
        if record.step == step:
            os.kill(os.getpid(), number)

    return progress
