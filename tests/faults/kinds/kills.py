"""Kill -9 at random moments: the run goes on from a whole checkpoint and ends with the bits of one never killed.

A trial is a chain: a run that is killed `KILLS` times, `INSIDE_SAVES` of them inside a save, which slow flushes make
long. After each kill it is resumed, or begun again by the command that began it.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from random import Random

from children import Shared, files_under, run_child, settings, warm
from golden import CASES
from tiny_runs import assert_same_run
from trial import Trial, chance_of, kind, shared_folder, workplace

from polydiff.run.checkpoint import Checkpoint, latest
from polydiff.run.folder import Run, steps_saved
from polydiff.support import replace
from polydiff.support.replace import DRAFT
from polydiff.training import session
from polydiff.training.loop import Record
from polydiff.training.trainer import resume, train

TRIALS = {"push": 4, "nightly": 60, "release": 200}
"""Number of chains; each has `KILLS` kills."""
KILLS, INSIDE_SAVES = 5, 2
STEPS, EVERY = 9, 2
"""Steps of the run, and steps between checkpoints."""
SLOW = 0.004
"""Seconds by which each flush of a file is slowed down in a chain, as on a slow disk."""
STEP, SAVING, INSIDE = range(3)
"""Places of what a child tells: steps done, whether it saves, whether it was killed inside a save."""
MORE = {"train.steps": STEPS, "train.checkpoint_every": EVERY, "train.sample_every": 4, "train.keep": 2}


@cache
def whole(domain: str) -> Path:
    """Return the folder of the run that was never killed."""
    warm(domain)
    place = shared_folder() / f"kills-{domain}"
    place.mkdir()
    ended = run_child(partial(work, domain, place / "run"))
    assert ended.code == 0, ended.err
    return place / "run"


def work(domain: str, path: Path, progress: object = None) -> None:
    """Begin the run, or resume it if it has a checkpoint."""
    session.SHOWN = 1
    if steps_saved(path / "checkpoints"):
        resume(path, progress=progress)
    else:
        train(domain, path, overrides=settings(domain, **MORE), progress=progress)


def killed(domain: str, path: Path, told: Shared, chance: Random, inside: bool) -> None:
    """Train until SIGKILL: at a step and some milliseconds, or as long after the begin of a save."""
    first = max(steps_saved(path / "checkpoints"), default=0)
    at, late = chance.randrange(min(first, STEPS - 1), STEPS), chance.uniform(0, 0.03)
    begun = threading.Event()

    def kill() -> None:
        begun.wait()
        time.sleep(late)
        told[INSIDE] = told[SAVING]
        os.kill(os.getpid(), signal.SIGKILL)

    def progress(record: Record, seconds: float) -> None:
        told[STEP] = record.step
        if not inside and record.step >= at:
            begun.set()

    save, sync = Checkpoint.save, replace.sync_file

    def slow_save(self: Checkpoint, folder: Path) -> Path:
        told[SAVING] = 1
        if inside and self.step >= at:
            begun.set()
        path = save(self, folder)
        told[SAVING] = 0
        return path

    def slow_sync(path: Path) -> None:
        time.sleep(SLOW)
        sync(path)

    Checkpoint.save = slow_save  # type: ignore[method-assign]
    replace.sync_file = slow_sync
    threading.Thread(target=kill, daemon=True).start()
    if not inside and at == first:
        begun.set()
    work(domain, path, progress)


def chain(domain: str, seed: int) -> None:
    """Kill a run again and again, and compare its end with that of the run that was never killed."""
    chance, kills, inside = chance_of("kills", seed), 0, 0
    warm(domain)
    with workplace() as folder:
        path = folder / "run"
        while kills < KILLS:
            told, choices = Shared(3), Random(chance.random())
            told[STEP] = max(steps_saved(path / "checkpoints"), default=0)
            ended = run_child(partial(killed, domain, path, told, choices, inside < INSIDE_SAVES))
            assert ended.code in (0, -signal.SIGKILL), ended.err
            check_kept(path, told)
            if ended.code == 0:  # the kill came too late
                check_end(path, whole(domain))
                shutil.rmtree(path)
            else:
                kills, inside = kills + 1, inside + told[INSIDE]
        ended = run_child(partial(work, domain, path))
        assert ended.code == 0, ended.err
        check_end(path, whole(domain))


def check_end(path: Path, other: Path) -> None:
    """A finished run has the bits and the files of another, and no temporary ones."""
    assert_same_run(path, other)
    assert files_under(path) == files_under(other)
    assert [found for found in path.rglob(".*") if DRAFT.fullmatch(found.name)] == []


def check_kept(path: Path, told: Shared) -> None:
    """Every checkpoint loads, and no more than one interval of steps is lost."""
    saved = steps_saved(path / "checkpoints")
    for step in saved:
        assert Checkpoint.load(path / "checkpoints" / f"step-{step:08d}").step == step
    assert told[STEP] - max(saved, default=0) <= EVERY, f"step {told[STEP]} was done, and {saved} are saved"
    if saved:
        assert latest(Run(path).checkpoints).name.endswith(str(saved[-1]))


@kind("kills")
def trials(tier: str) -> Iterator[Trial]:
    domains = sorted(CASES)
    for seed in range(TRIALS[tier]):
        domain = domains[seed % len(domains)]
        yield Trial("kills", f"{domain} {seed}", seed, partial(chain, domain, seed), limit=600)
