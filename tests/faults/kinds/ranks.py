"""A fault in one of two processes that train a run: all end in time, one message says why, and the run goes on exactly.

The faults are those of `tests/helpers/plugins/rank_faults.py`, put into the program as users start it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import pytest
from fake_plugins import DOMAINS, PLUGINS, distribution, install_ring
from process_jobs import train_until
from tiny_runs import assert_same_run
from together import together
from trial import Trial, chance_of, kind, shared_folder, workplace

from polydiff.run.checkpoint import Checkpoint, latest
from polydiff.run.folder import Run, steps_saved

TRIALS = {"push": 2, "nightly": 28, "release": 140}
STEPS = 12
SIZES = {"train.steps": STEPS, "train.checkpoint_every": 3, "train.sample_every": 100}
TIMEOUT = 10.0
"""Seconds of `launch.timeout` where a process hangs."""
SLACK = 150.0
"""Seconds within which all must have ended, the start of the processes and a hanging one's end by torchrun included."""


@dataclass(frozen=True)
class Fault:
    """What happens, and what has to come of it.

    Arguments:
        name: Name in `rank_faults.FAULTS`.
        codes: Exit codes that are right.
        said: Pattern of the one message.
        begun: Whether the run has been begun, so that it can be resumed.
        first: Whether it happens in the first process alone.
    """

    name: str
    codes: tuple[int, ...]
    said: str
    begun: bool = True
    first: bool = False


FAULTS = [
    Fault("kill", (137, 2), r"Process {rank} has ended without a message"),
    Fault("loss", (2,), r"Process {rank}: Step \d+: the loss of examples .* is not finite"),
    Fault("data", (2,), r"Process {rank}: bird.png is damaged"),
    Fault("bug", (1, 2), r"KeyError: 'lost'"),
    Fault("hang", (2,), r"Process {rank} does not answer within launch.timeout"),
    Fault("disk", (2,), r"No space left on device", first=True),
    Fault("terminate", (143,), r"Stopped; step \d+ is saved"),
    Fault("interrupt", (130,), r"Stopped; step \d+ is saved"),
    Fault("terminate-all", (143,), r"Stopped; step \d+ is saved"),
    Fault("interrupt-all", (130,), r"Stopped; step \d+ is saved"),
    Fault("kill-agent", (-9,), r"Stopped; step \d+ is saved|Stopped after training"),  # noticed a little later
    Fault("seed", (2,), r"Processes 1 and 0 differ in their configuration: seed is", begun=False),
    Fault("examples", (2,), r"Processes 1 and 0 differ in their data", begun=False),
    Fault("version", (2,), r"Processes 1 and 0 differ in their versions", begun=False),
]


@cache
def surroundings() -> dict[str, str]:
    """Return the environment of the program, with the domain ring."""
    folder = shared_folder() / "plugins"
    distribution(folder, "polydiff-ring", {DOMAINS: {"ring": "ring:SPEC"}})
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (PLUGINS, folder))), "OMP_NUM_THREADS": "1"}


def program(*words: str, fault: str = "") -> tuple[int, str]:
    """Run the program until all its processes have ended, and return its exit code and what it said on stderr."""
    command = [sys.executable, "-m", "polydiff", *words, "--judge", "0"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**surroundings(), "FAULT": fault}, timeout=SLACK
    )  # the pipes are open as long as one of its processes lives
    return done.returncode, done.stderr


def begin(run: Path, *keys: str, fault: str = "") -> tuple[int, str]:
    """Train a run of the ring in two processes, with a fault "NAME RANK STEP"."""
    sizes = [*(f"{key}={value}" for key, value in SIZES.items()), "device=cpu"]
    plugin = ["--plugin", str(PLUGINS / "rank_faults.py")] if fault else []
    launch = ["launch.processes=2", f"launch.timeout={TIMEOUT}"]
    words = ["train", *plugin, "--domain", "ring", "-o", str(run), *sizes, *launch, *keys]
    return program(*words, fault=fault)


@cache
def undisturbed() -> Path:
    """Return the folder of the same run without a fault, by two processes that no agent of torchrun started."""
    run = shared_folder() / "undisturbed"
    with workplace() as folder, pytest.MonkeyPatch.context() as patch:
        install_ring(folder / "plugins", patch)
        together(2, train_until, run, "ring", {**SIZES, "device": "cpu"}, STEPS)
    return run


def one_message(said: str, pattern: str) -> None:
    """Check that one message, and one only, says what the pattern does."""
    lines = [line for line in said.splitlines() if re.search(r"polydiff: |Stopped|Error: ", line)]
    assert len(lines) == 1, f"{len(lines)} messages: {said}"
    assert re.search(pattern, lines[0]), f"not {pattern!r}: {said}"


def trial(fault: Fault, seed: int) -> None:
    """Let the fault happen in a process at a step, look at what is left, and resume the run."""
    chance = chance_of("ranks", seed)
    rank = int(not fault.first) if fault.first or not fault.begun else chance.randrange(2)
    step = 2 if fault.first else chance.randrange(2, STEPS - 1)
    with workplace() as folder:
        run = folder / "run"
        code, said = begin(run, fault=f"{fault.name} {rank} {step}")
        assert code in fault.codes, f"exit code {code}: {said}"
        one_message(said, fault.said.format(rank=rank))
        if not fault.begun:
            assert not steps_saved(Run(run).checkpoints)
            return
        if steps_saved(Run(run).checkpoints):
            Checkpoint.load(latest(Run(run).checkpoints))  # checks its digests
            code, said = program("resume", str(run))
        else:
            code, said = begin(run)
        assert code == 0, said
        assert_same_run(run, undisturbed())


def restarted(seed: int) -> None:
    """Let a process be killed, and all be started again by launch.restarts."""
    chance = chance_of("ranks", seed)
    with workplace() as folder:
        run = folder / "run"
        code, said = begin(run, "launch.restarts=1", fault=f"kill {chance.randrange(2)} {chance.randrange(2, STEPS)}")
        assert code == 0, said
        assert_same_run(run, undisturbed())


@kind("ranks")
def trials(tier: str) -> Iterator[Trial]:
    """Yield each fault in turn, then a restart."""
    for seed in range(TRIALS[tier]):
        turn = seed % (len(FAULTS) + 1)
        if turn == 1:
            yield Trial("ranks", f"restarted {seed}", seed, partial(restarted, seed), limit=2 * SLACK)
        else:
            fault = FAULTS[max(turn - 1, 0)]
            yield Trial("ranks", f"{fault.name} {seed}", seed, partial(trial, fault, seed), limit=3 * SLACK)
