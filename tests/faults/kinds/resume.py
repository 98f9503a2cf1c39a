"""A run that is stopped and resumed ends with the bits of one that was not, wherever it is stopped.

The cases are all pairs of domain and objective, numbers of threads that prepare batches, precisions, and places of the
stop: within an epoch, twice within one, at its edge, and after the last step, to train longer. Neither the threads nor
the steps between checkpoints may change a bit, so that the run to compare with has others.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from children import run_child, settings, warm
from tiny_runs import assert_same_run
from trial import Trial, kind, shared_folder, workplace

from polydiff.config.merge import resolve
from polydiff.contract.discover import build_domain
from polydiff.run.folder import Run
from polydiff.training import session
from polydiff.training.loop import Record
from polydiff.training.trainer import resume, train

CASES: dict[tuple[str, str], dict[str, Any]] = {
    ("image", "denoising"): {},
    ("image", "shortcut"): {"loss.objective": "shortcut"},
    ("image", "ect"): {"loss.objective": "ect"},
    ("image", "adamw"): {"optim.name": "adamw"},
    ("image", "averages"): {"train.ema_snapshots": 3},
    ("audio", "denoising"): {},
    ("audio", "vlb"): {"loss.objective": "vlb"},
    ("molecule", "denoising"): {},
    ("molecule", "like sizes"): {"train.like_sizes": 2},
    ("sequence", "masked"): {},
    ("sequence", "accumulated"): {"train.accumulate": 2},
}
"""Domain and what is special about a run -> its settings."""
EPOCH, LARGEST = 4, 512
"""Steps of an epoch, about: a batch has this part of the training examples, but at most so many."""
STOPS: dict[str, tuple[int, ...]] = {"mid-epoch": (2,), "twice in an epoch": (5, 7), "edge": (4,), "last step": (9,)}
"""Place of a stop -> the steps after which the run is stopped."""
STEPS = 9
PUSH = 43
"""Of how many cases the tier "push" takes one: each domain, precision and number of threads is among them."""


class Case(NamedTuple):
    """What a run is: domain, what is special about it, and its precision."""

    domain: str
    name: str
    precision: str


@cache
def settings_of(case: Case) -> dict[str, Any]:
    """Return the settings of the runs of a case."""
    warm(case.domain)
    found = settings(case.domain, **CASES[case.domain, case.name], **{"train.precision": case.precision})
    size = build_domain(resolve(case.domain, values=found).config).size("train")
    batch = 2 * max(1, round(size / EPOCH / 2))
    return {**found, "train.batch_size": min(batch, LARGEST), "train.keep": 9}


def begin(case: Case, path: Path, steps: int, progress: Any = None, **more: Any) -> None:
    """Train a new run to a step."""
    session.SHOWN = 1
    with suppress(KeyboardInterrupt):
        train(case.domain, path, overrides={**settings_of(case), "train.steps": steps, **more}, progress=progress)


def go_on(path: Path, steps: int | None, progress: Any) -> None:
    """Resume a run to a step."""
    session.SHOWN = 1
    with suppress(KeyboardInterrupt):
        resume(path, steps=steps, progress=progress)


def stop_at(step: int) -> Any:
    """Return what sends this process the signal of Ctrl-C after a step."""

    def progress(record: Record, seconds: float) -> None:
        if record.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    return progress


@cache
def whole(case: Case, steps: int) -> Path:
    """Return the folder of a run that was not stopped."""
    place = shared_folder() / f"resume {' '.join(case)} {steps}"
    place.mkdir()
    settings_of(case)
    ended = run_child(partial(begin, case, place / "run", steps, **{"train.checkpoint_every": 1000}))
    assert ended.code == 0, ended.err
    return place / "run"


def stopped(case: Case, workers: int, place: str) -> None:
    """Stop a run, resume it, and compare it with one that was not stopped."""
    last = place == "last step"
    steps = STEPS + 3 if last else STEPS
    expected = whole(case, steps)
    with workplace() as folder:
        path = folder / "run"
        more = {"train.workers": workers, "train.checkpoint_every": 3}
        first, *later = STOPS[place]
        ended = run_child(partial(begin, case, path, STEPS, stop_at(first), **more))
        assert ended.code == 0, ended.err
        for step in (*later, 0):
            to = steps if last and step == 0 else None
            ended = run_child(partial(go_on, path, to, stop_at(step)))
            assert ended.code == 0, ended.err
        assert_same_run(path, expected)
        assert [record["step"] for record in Run(path).records()] == list(range(1, steps + 1))


@kind("resume")
def trials(tier: str) -> Iterator[Trial]:
    """All cases, of the tier "push" some."""
    cases = product(CASES, ("float32", "bf16"), (0, 2), STOPS)
    for seed, ((domain, name), precision, workers, place) in enumerate(cases):
        if name == "ect" and place == "last step":  # its curriculum depends on the number of all steps
            continue
        if tier != "push" or seed % PUSH == 0:
            case = Case(domain, name, precision)
            run = partial(stopped, case, workers, place)
            yield Trial("resume", f"{domain}, {name}, {precision}, {workers} threads, {place}", seed, run)
