"""Fault trials: one fault each, put into the real product; a trial that raises anything has failed.

A kind of fault is a module `kinds/NAME.py`, whose function with the decorator `kind` yields the trials of a tier:

    TRIALS = {"push": 60, "nightly": 600, "release": 6000}

    @kind("corruption")
    def trials(tier: str) -> Iterator[Trial]:
        for seed in range(TRIALS[tier]):
            yield Trial("corruption", f"bit {seed}", seed, partial(flip, seed))

A trial depends on its seed alone, and works in a folder of its own (`workplace`). The cases behind the seeds are made
when the trial runs, so a share of a long tier costs no more than its trials.
"""

from __future__ import annotations

import atexit
import importlib
import random
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from types import FrameType

from polydiff.support.errors import UserError

KINDS_FOLDER = Path(__file__).parent / "kinds"
TIERS = ("push", "nightly", "release")


@dataclass(frozen=True)
class Trial:
    """One fault.

    Arguments:
        kind: Name of its kind.
        name: What it does, so that a failure can be told and repeated.
        seed: Number from which its choices follow.
        run: Puts the fault into the product; raises AssertionError, or another exception, on failure.
        limit: Seconds after which it has failed.
    """

    kind: str
    name: str
    seed: int
    run: Callable[[], None]
    limit: float = 300.0


def chance_of(kind: str, seed: int) -> random.Random:
    """Return the random numbers of a trial."""
    return random.Random(f"{kind} {seed}")


Trials = Callable[[str], Iterator[Trial]]
"""Tier -> its trials."""
KINDS: dict[str, Trials] = {}
"""Kinds of fault whose modules are imported, by name."""


def kind(name: str) -> Callable[[Trials], Trials]:
    """Return the decorator that registers the trials of a kind."""

    def register(trials: Trials) -> Trials:
        KINDS[name] = trials
        return trials

    return register


def kind_names() -> list[str]:
    """Return the names of all kinds, those of the modules in kinds/, without importing them."""
    return sorted(path.stem for path in KINDS_FOLDER.glob("[a-z]*.py"))


def trials_of(name: str, tier: str, share: tuple[int, int] = (1, 1)) -> Iterator[Trial]:
    """Return the trials of a kind, or a share of them.

    Arguments:
        name: The kind.
        tier: One of `TIERS`.
        share: (i, n): every n-th trial from the i-th, counted from 1.
    """
    importlib.import_module(f"kinds.{name}")
    return islice(KINDS[name](tier), share[0] - 1, None, share[1])


@dataclass
class Result:
    """What became of the trials of a kind.

    Arguments:
        trials: Number of trials.
        failures: Name of each failed trial, with the first words of what it raised.
        seconds: Time that they took.
    """

    trials: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    def __add__(self, other: Result) -> Result:
        failures = [*self.failures, *other.failures]
        return Result(self.trials + other.trials, failures, self.seconds + other.seconds)


def run_all(trials: Iterable[Trial], note: Callable[[Trial, str], None] = lambda trial, words: None) -> Result:
    """Run trials one after another.

    Arguments:
        trials: The trials.
        note: Called with each failed trial and what it raised.
    """
    result, start = Result(), time.monotonic()
    for trial in trials:
        result.trials += 1
        try:
            with time_limit(trial.limit):
                trial.run()
        except Exception as error:  # noqa: BLE001 - whatever it raises is the failure that is counted
            words = described(error)
            result.failures.append((trial.name, words[:300]))
            note(trial, words)
    result.seconds = time.monotonic() - start
    return result


def described(error: Exception) -> str:
    """Return the type and message of an exception; the line that raised it, where it has no message."""
    said = str(error)
    if not said:
        raised = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{Path(raised.filename).name}, line {raised.lineno}: {raised.line}"
    return " ".join(f"{type(error).__name__}: {said}".split())


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the `with` block after some seconds; only in the main thread, as signals are."""

    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not done after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def user_error(work: Callable[[], object]) -> str | None:
    """Return the message of the UserError that a call raises, None if it raises nothing; other errors pass."""
    try:
        work()
    except UserError as error:
        return str(error)
    return None


@cache
def shared_folder() -> Path:
    """Return a folder for what the trials of one process share, such as a trained run; it is deleted at exit."""
    folder = Path(tempfile.mkdtemp(prefix="polydiff-faults-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextmanager
def workplace() -> Iterator[Path]:
    """Give a trial a folder of its own, which is deleted afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="trial-", dir=shared_folder()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
