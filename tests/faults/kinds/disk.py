"""Errors of the disk: each at each call of a save, at calls of a whole run, and real ones.

After an error of a save, the checkpoint of before is whole, the message names the path, and nothing half written stays.
A run goes on with a warning, or ends with exit code 2 and one message; then it is resumed to the bits of one without.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from functools import cache, partial

import torch
from children import run_child, run_main
from crashes import faults, names
from disk_runs import KEEP, check_end, finish, trained, whole
from real_disks import real_faults
from trial import Trial, chance_of, kind, shared_folder, workplace

from kinds.crash_points import NEW, OLD, checkpoint, save_and_prune
from polydiff.run.checkpoint import Checkpoint, latest
from polydiff.run.folder import steps_saved
from polydiff.support.disk import CAUSES, WriteError
from polydiff.training import saving

RUNS = {"push": 6, "nightly": 120, "release": 600}
"""Trials with an error in a whole run."""


@cache
def calls_of_save() -> int:
    """Return the number of calls of a save that change the file system."""
    with workplace() as folder:
        checkpoint(OLD).save(folder)
        with faults(-1) as found:
            save_and_prune(folder)
    return found.calls


def at_call(number: int, k: int, lasting: bool) -> None:
    """Fail at a call of a save, and save again."""
    with workplace() as folder:
        checkpoint(OLD).save(folder)
        error: OSError | None = None
        try:
            with faults(k, number, lasting=lasting):
                save_and_prune(folder)
        except OSError as found:
            error = found
        left = Checkpoint.load(latest(folder))
        if isinstance(error, WriteError):
            said = str(error)
            assert said.startswith(f"{folder / 'step-00000020'} cannot be written: {CAUSES[number][0]} ("), said
            assert " are needed, " in said, said
            assert left.step in (OLD, NEW)  # the new one if its name could not be flushed
        else:  # at most the older checkpoint could not be deleted, which training only tells
            assert left.step == NEW, error
        assert torch.equal(left.model["a.weight"], torch.full((30, 4), float(left.step)))
        assert steps_saved(folder) in ([OLD], [NEW], [OLD, NEW])
        save_and_prune(folder)
        assert names(folder) == ["step-00000020"]


def failing(argv: list[str], number: int, k: int, lasting: bool) -> int:
    """Run the command line with an error at a call; the second try of a checkpoint comes at once."""
    saving.WAIT = 0.0
    with faults(k, number, lasting=lasting):
        return run_main(argv)


@cache
def calls_of_run() -> int:
    """Return about how many calls of a run change the file system."""
    place = shared_folder() / "disk-calls"
    place.mkdir()
    whole()

    def count() -> None:
        with faults(-1) as found:
            run_main(trained(place / "run"))
        (place / "calls").write_text(str(found.calls))

    assert run_child(count).code == 0
    return int((place / "calls").read_text())


def in_run(number: int, seed: int) -> None:
    """Fail somewhere in a run, once or from there on, and finish it."""
    chance = chance_of("disk", seed)
    k, lasting, keep = chance.randrange(calls_of_run()), chance.random() < 0.5, chance.choice((1, 2))
    with workplace() as folder:
        run = folder / "run"
        argv = trained(run, *KEEP[keep])
        check_end(run_child(partial(failing, argv, number, k, lasting)), folder)
        finish(run, argv, folder)


@kind("disk")
def trials(tier: str) -> Iterator[Trial]:
    """Each error at each call of a save, once and lasting; runs; real disks, where they can be mounted."""
    for number in CAUSES:
        code = errno.errorcode[number]
        for k in range(calls_of_save()):
            for lasting in (False, True):
                name = f"{code} at call {k} of a save{', lasting' if lasting else ''}"
                yield Trial("disk", name, k, partial(at_call, number, k, lasting))
    for seed in range(RUNS[tier]):
        number = sorted(CAUSES)[seed % len(CAUSES)]
        yield Trial("disk", f"{errno.errorcode[number]} in a run {seed}", seed, partial(in_run, number, seed))
    for seed, run in enumerate(real_faults()):
        yield Trial("disk", run.__name__.replace("_", " "), seed, run)
