"""Another number of processes after each stop: the same examples in the same order, the same losses up to rounding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from fake_plugins import install_ring
from process_jobs import train_all, train_until
from tiny_runs import assert_alike
from together import together
from trial import Trial, chance_of, kind, shared_folder, workplace

TRIALS = {"push": 1, "nightly": 12, "release": 60}
STEPS = 12
KEYS: dict[str, Any] = {
    "train.steps": STEPS,
    "train.checkpoint_every": 5,
    "train.sample_every": 100,
    "train.precision": "float32",
    "device": "cpu",
}
WORLDS = ((1, 2, 1), (2, 1, 2), (2, 4), (4, 1), (1, 4, 2), (2, 1))
"""Numbers of processes, one after another; the first trial is the one that the push tier has."""


@cache
def undisturbed() -> Path:
    """Return the folder of a run that one process trained without a stop."""
    train_all(shared_folder(), {"alone": ("ring", KEYS)})
    return shared_folder() / "alone"


def change(worlds: Sequence[int], seed: int) -> None:
    """Train a run in these numbers of processes, each from where the last one stopped."""
    chance = chance_of("worlds", seed)
    stops = [*sorted(chance.sample(range(1, STEPS), len(worlds) - 1)), STEPS]
    accumulate = chance.choice((1, 2))
    with workplace() as folder, pytest.MonkeyPatch.context() as patch:
        install_ring(folder / "plugins", patch)
        for world, stop in zip(worlds, stops, strict=True):
            together(world, train_until, folder / "run", "ring", {**KEYS, "train.accumulate": accumulate}, stop)
        assert_alike(folder / "run", undisturbed())


@kind("worlds")
def trials(tier: str) -> Iterator[Trial]:
    """Yield the changes in turn, each with other steps."""
    for seed in range(TRIALS[tier]):
        worlds = WORLDS[seed % len(WORLDS)]
        name = " to ".join(map(str, worlds))
        yield Trial("worlds", f"{name} {seed}", seed, partial(change, worlds, seed), limit=600)
