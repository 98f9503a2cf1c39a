"""Runs that trackers watch: one that is trained through, and one that crashes and is resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from polydiff.run.folder import Run
from polydiff.training.loop import Record
from polydiff.training.trainer import resume, train

STEPS: dict[str, Any] = {
    "train.steps": 12,
    "train.checkpoint_every": 4,
    "train.log_every": 1,
    "train.sample_every": 6,
    "sample.steps": 2,
}
"""Keys of a run that saves checkpoints at steps 4, 8 and 12, and samples at 6 and 12."""


def crash_at(step: int) -> Any:
    """Raise an error that saves nothing, after a step."""

    def progress(record: Record, seconds: float) -> None:
        if record.step == step:
            raise RuntimeError("the power fails")

    return progress


def watched(path: Path, domain: str = "ring", **keys: Any) -> Run:
    """Train a run that a tracker watches."""
    return Run(train(domain, path, overrides={**STEPS, **keys}, progress=False))


def watched_twice(path: Path, **keys: Any) -> Run:
    """Train a run of the domain ring that a tracker watches to step 10, where it crashes, and resume it from step 8."""
    with pytest.raises(RuntimeError, match="the power fails"):
        train("ring", path, overrides={**STEPS, **keys}, progress=crash_at(10))
    return Run(resume(path, progress=False))


def curves(run: Run) -> dict[str, list[tuple[int, float]]]:
    """Return the numbers of metrics.jsonl by name, each with its step."""
    from polydiff.tracking.session import numbers_of

    found: dict[str, list[tuple[int, float]]] = {}
    for line in run.records():
        for name, value in numbers_of(line).items():
            found.setdefault(name, []).append((line["step"], value))
    return found
