"""NaN and infinity, put into one place of a training: seen, named, and never part of a whole checkpoint.

What enters a step (data, loss, gradient, weights) stops it before the update. What only an update or an average takes
up (the optimizer's state, the moving average) stops the run at the next step or checkpoint at the latest. The run is
then resumed, without the fault, to the bits of one that never had it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import cycle, product
from pathlib import Path
from typing import Any

import pytest
import torch
from children import run_child, settings, warm
from tiny_runs import assert_same_run
from torch import Tensor, nn
from trial import Trial, kind, shared_folder, workplace

from polydiff.core.space import Batch
from polydiff.run.checkpoint import Checkpoint
from polydiff.run.folder import Run, steps_saved
from polydiff.support.errors import NonFiniteError, UserError
from polydiff.training import finish, loop, session, steps
from polydiff.training.data import Batches
from polydiff.training.loop import Record, Training
from polydiff.training.trainer import resume, train

STEPS, EVERY, AT = 6, 2, 3
"""Steps of a run, steps between checkpoints, and the step after which the fault comes."""
VALUES = {"NaN": float("nan"), "+inf": float("inf"), "-inf": float("-inf")}
BEFORE = ("data", "loss", "gradient", "weight")
"""Places of a fault that is seen before the update of the next step."""
PLACES = (*BEFORE, "optimizer", "average")
PRECISIONS = ("float32", "bf16")
MORE = {"train.steps": STEPS, "train.checkpoint_every": EVERY, "train.keep": 9, "optim.warmup": 0}


def spoil(place: str, value: float) -> Callable[[Training[Any]], None]:
    """Put a value into one place of a training once `AT` steps are done, in this process.

    Returns:
        What is called with the training when these steps are done.
    """

    def nothing(training: Training[Any]) -> None:
        return None

    def of_state(training: Training[Any]) -> None:
        weight = next(p for p in training.module.parameters() if p.ndim > 1)
        found: dict[str, Tensor] = {
            "weight": weight.data,
            "optimizer": next(v for v in training.optimizer.state[weight].values() if v.shape == weight.shape),
            "average": next(training.ema.parameters()).data,
        }
        found[place].view(-1)[0] = value

    if place == "data":
        spoil_data(value)
    elif place == "loss":
        spoil_loss(value)
    elif place == "gradient":
        spoil_gradient(value)
    return nothing if place in ("data", "loss", "gradient") else of_state


def spoil_data(value: float) -> None:
    """Let the batch of step `AT` hold the value."""
    before = steps.batches

    def spoiled(*args: Any, **more: Any) -> Batches:
        inner = before(*args, **more)

        def batch(step: int) -> Batch:
            made = inner(step)
            if step != AT:
                return made
            x = made.x.clone()  # type: ignore[union-attr] # the states of these domains are tensors
            x.view(-1)[0] = value
            return made._replace(x=x)

        return batch

    steps.batches = spoiled


def spoil_loss(value: float) -> None:
    """Let one example of step `AT` have this loss."""
    before = loop.as_objective

    def spoiled(*args: Any) -> Any:
        objective = before(*args)
        minimised = type(objective).minimised
        calls: list[int] = []

        def once(module: nn.Module, outcome: Any, weight: Tensor) -> Tensor:
            calls.append(1)
            found = minimised(objective, module, outcome, weight)
            return found * value if len(calls) == AT + 1 else found

        object.__setattr__(objective, "minimised", once)
        return objective

    loop.as_objective = spoiled


def spoil_gradient(value: float) -> None:
    """Let a gradient of step `AT` hold the value."""
    before = loop.entering

    def spoiled(batches: Batches, size: int, pieces: int, objective: Any, module: nn.Module) -> Batches:
        calls: list[int] = []

        def once(gradient: Tensor) -> Tensor:
            calls.append(1)
            return torch.full_like(gradient, value) if len(calls) == AT + 1 else gradient

        next(p for p in module.parameters() if p.ndim > 1).register_hook(once)
        return before(batches, size, pieces, objective, module)

    loop.entering = spoiled


def work(domain: str, precision: str, path: Path, fault: tuple[str, float] | None = None) -> None:
    """Train; with a fault, see that it stops the run where it must."""
    session.SHOWN = 1
    if fault is None:
        if steps_saved(path / "checkpoints"):
            resume(path)
        else:
            train(domain, path, overrides=settings(domain, **MORE, **{"train.precision": precision}))
        return
    place, value = fault
    act, done = spoil(place, value), 0

    def progress(record: Record, seconds: float) -> None:
        nonlocal done
        done = record.step
        if done == AT:
            act(running[0])

    running: list[Training[Any]] = []
    before = finish.records_of

    def noted(config: Any, domain: Any, training: Training[Any]) -> Any:
        running.append(training)
        return before(config, domain, training)

    finish.records_of = noted
    with pytest.raises((NonFiniteError, UserError), match=r"finite|NaN|infinite"):
        train(domain, path, overrides=settings(domain, **MORE, **{"train.precision": precision}), progress=progress)
    assert done <= (AT if place in BEFORE else AT + 1), f"seen after step {done}"


@cache
def whole(domain: str, precision: str) -> Path:
    """Return the folder of the run without a fault."""
    warm(domain)
    place = shared_folder() / f"not-finite-{domain}-{precision}"
    place.mkdir()
    ended = run_child(partial(work, domain, precision, place / "run"))
    assert ended.code == 0, ended.err
    return place / "run"


def finite(tensors: Any) -> bool:
    """Return whether all numbers of named tensors are finite."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())


def run_with(domain: str, precision: str, place: str, value: float) -> None:
    """Train with a fault, look at the checkpoints, and resume without it."""
    expected = whole(domain, precision)
    with workplace() as folder:
        path = folder / "run"
        ended = run_child(partial(work, domain, precision, path, (place, value)))
        assert ended.code == 0, ended.err
        saved = steps_saved(Run(path).checkpoints)
        assert saved[-1] >= AT - EVERY + 1, saved
        for step in saved:
            found = Checkpoint.load(path / "checkpoints" / f"step-{step:08d}")
            assert finite(found.model), step
            assert finite(found.ema), step
            assert finite(found.optimizer), step
        ended = run_child(partial(work, domain, precision, path))
        assert ended.code == 0, ended.err
        assert_same_run(path, expected)


@kind("not_finite")
def trials(tier: str) -> Iterator[Trial]:
    """All combinations; of the tier "push" each place once, with values and precisions in turn."""
    cases = list(product(("image", "audio", "molecule"), PLACES, PRECISIONS, VALUES))
    if tier == "push":
        values, precisions = cycle(VALUES), cycle(PRECISIONS)
        cases = [("image", place, next(precisions), next(values)) for place in PLACES]
    for seed, (domain, place, precision, name) in enumerate(cases):
        run = partial(run_with, domain, precision, place, VALUES[name])
        yield Trial("not_finite", f"{name} in {place}, {domain}, {precision}", seed, run)
