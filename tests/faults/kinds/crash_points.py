"""A crash before and after each call of a save that changes the file system: the old or the new state is whole.

Three crashes: the process dies; the power fails, and nothing that was not flushed survives; it fails, and each such
change survives or not by chance. Of the last write of a process that dies, half of the data arrive.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
import torch
from crashes import Killed, faults, names
from simulated_disk import Call, Disk, recorded, write
from trial import Trial, chance_of, kind, workplace

from polydiff.run.checkpoint import Checkpoint, latest, prune
from polydiff.run.folder import steps_saved
from polydiff.run.snapshots import load_snapshot, save_snapshot
from polydiff.support import replace
from polydiff.support.replace import remove_drafts

RANDOM = {"push": 1, "nightly": 12, "release": 40}
"""Trials of each call with changes that survive by chance."""
OLD, NEW = 10, 20
SNAPSHOTS = {"0.05/a": torch.arange(50.0)}


def checkpoint(step: int) -> Checkpoint:
    """Return a checkpoint whose tensors tell its step."""
    tensors = [{"a.weight": torch.full((30, 4), float(step))} for _ in range(4)]
    return Checkpoint(step, {"config": {"seed": step}}, *tensors)


class Scenario(NamedTuple):
    """A save.

    Attributes:
        before: Writes what is there before, to the folder of checkpoints or snapshots.
        save: Saves.
        steps: Steps of which one must be whole after a crash; -1: none need be.
        after: Step that must be whole once the save has returned.
    """

    before: Callable[[Path], object]
    save: Callable[[Path], object]
    steps: tuple[int, ...]
    after: int


def save_and_prune(folder: Path) -> None:
    """Save the new checkpoint and delete the old one."""
    checkpoint(NEW).save(folder)
    prune(folder, 1)


def without_exchange(folder: Path) -> None:
    """Save a step again on a file system that cannot exchange two names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replace, "exchanged", lambda a, b: False)
        save_and_prune(folder)


def snapshot(folder: Path) -> None:
    """Save a new snapshot and delete the old one."""
    save_snapshot(folder, NEW, SNAPSHOTS, 1)


SCENARIOS = {
    "first": Scenario(lambda folder: None, save_and_prune, (-1, NEW), NEW),
    "next": Scenario(lambda folder: checkpoint(OLD).save(folder), save_and_prune, (OLD, NEW), NEW),
    "again": Scenario(lambda folder: checkpoint(NEW).save(folder), save_and_prune, (NEW,), NEW),
    "exchanged by two renames": Scenario(lambda folder: checkpoint(NEW).save(folder), without_exchange, (-1, NEW), NEW),
    "snapshot": Scenario(lambda folder: save_snapshot(folder, OLD, SNAPSHOTS, 2), snapshot, (OLD, NEW), NEW),
}


@cache
def calls_of(name: str) -> tuple[Disk, list[Call]]:
    """Return the disk before a save, and the calls of the save."""
    with workplace() as place:
        SCENARIOS[name].before(place / "run" / "checkpoints")
        disk = Disk(place)
        with recorded() as calls:
            SCENARIOS[name].save(place / "run" / "checkpoints")
    return disk, calls


def whole_step(name: str, folder: Path) -> int:
    """Return the newest step that is whole, as a start finds it; -1 if there is none; a damaged newest one raises."""
    saved = steps_saved(folder)
    if not saved:
        return -1
    if name == "snapshot":
        return max(
            step for step in saved if torch.equal(load_snapshot(folder, step, SNAPSHOTS)["0.05/a"], torch.arange(50.0))
        )
    found = Checkpoint.load(latest(folder))
    same = [torch.equal(part["a.weight"], torch.full((30, 4), float(found.step))) for part in parts(found)]
    assert all(same), "it holds other weights"
    assert found.state["config"]["seed"] == found.step
    return found.step


def parts(found: Checkpoint) -> list[dict[str, torch.Tensor]]:
    """Return the tensors of a checkpoint."""
    return [dict(part) for part in (found.model, found.ema, found.optimizer, found.averages)]


def check(name: str, folder: Path, done: bool) -> None:
    """After a crash, a whole step is there; the next save works and leaves nothing else."""
    scenario = SCENARIOS[name]
    remove_drafts(folder)  # as each start does
    step = whole_step(name, folder)
    assert step in ((scenario.after,) if done else scenario.steps), f"step {step} is left"
    scenario.save(folder)
    assert whole_step(name, folder) == scenario.after
    assert names(folder) == [f"step-{scenario.after:08d}"]


def power_fails(name: str, k: int, choose: Callable[[Random], bool], seed: int) -> None:
    """Play the first k calls, lose what was not flushed, and start again."""
    before, calls = calls_of(name)
    disk, chance = copy.deepcopy(before), chance_of(f"crash_points {name} {k}", seed)
    for call in calls[:k]:
        disk.play(call)
    with workplace() as place:
        write(disk.content, place / "disk", lambda: choose(chance))
        check(name, place / "disk" / "run" / "checkpoints", done=k == len(calls))


def process_dies(name: str, k: int) -> None:
    """Die at the k-th call, and start again."""
    with workplace() as place:
        folder = place / "run" / "checkpoints"
        SCENARIOS[name].before(folder)
        try:
            with faults(k):
                SCENARIOS[name].save(folder)
        except Killed:
            check(name, folder, done=False)
        else:
            raise AssertionError("no call failed")


def nothing(chance: Random) -> bool:
    """No change survives that was not flushed."""
    return False


def half(chance: Random) -> bool:
    """Each change survives by chance."""
    return chance.random() < 0.5


@kind("crash_points")
def trials(tier: str) -> Iterator[Trial]:
    """Every call of every scenario."""
    for name in SCENARIOS:
        number = len(calls_of(name)[1])
        assert number > 5, f"only {number} calls"
        for k in range(number + 1):
            if k < number:
                yield Trial("crash_points", f"{name}: process dies at call {k}", k, partial(process_dies, name, k))
            yield Trial(
                "crash_points", f"{name}: power fails before call {k}", k, partial(power_fails, name, k, nothing, 0)
            )
            for seed in range(RANDOM[tier]):
                run = partial(power_fails, name, k, half, seed)
                yield Trial("crash_points", f"{name}: power fails before call {k}, by chance {seed}", seed, run)
