"""Samples, evaluations and bounds that several processes of a test share (`together`)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from profile_cases import small

from polydiff.checkup.exchange import share_outside_computation
from polydiff.contract.domain import Samples
from polydiff.core.process.sampling import Generates
from polydiff.gallery.writer import draw
from polydiff.judging.evaluate import evaluate
from polydiff.judging.likelihood import likelihood
from polydiff.machine.processes.dealing import by_first, dealt
from polydiff.machine.ranks import Ranks, joined, ranks
from polydiff.model.model import Model
from polydiff.model.request import Request
from polydiff.pipeline.chain import load
from polydiff.pipeline.evaluate import evaluate as evaluate_pipeline
from polydiff.stages.open import open_domain
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides

N = 11
"""Number of samples: three batches of four, the last of them smaller."""
SCARCE = 2
"""Samples of which memory suffices for a batch, where it is scarce."""


def draw_and_judge(folder: Path, runs: dict[str, Path]) -> dict[str, Any]:
    """Draw, judge and bound with each run, name -> folder; the samples are written to folder/NAME."""
    with joined(60):
        return {name: judged(Model.load(path), folder / name) for name, path in runs.items()}


def judged(model: Model, folder: Path) -> dict[str, Any]:
    """Return the evaluation of a model and, if it generates without a given example, its bounds and its samples."""
    found = evaluate(model, N, seed=1, **({"batch_size": 4} if provides(model.process, Generates) else {}))
    del found["environment"]
    if model.restores or not provides(model.process, Generates):
        return {"evaluation": found}
    draw(model, folder, N, seed=3, batch_size=4)
    cond = model.sample(N, seed=2, batch_size=4).cond or {}
    return {
        "evaluation": found,
        "bounds": likelihood(model, 7, draws=2, batch_size=2),
        "cond": {key: value.tolist() for key, value in cond.items()},
    }


def draw_and_judge_pipeline(folder: Path, pipeline: Path) -> dict[str, Any]:
    """Draw with a pipeline and judge it; the samples are written to a folder."""
    with joined(60):
        chain = load(pipeline)
        draw(chain, folder, N, seed=3, batch_size=4)
        found = evaluate_pipeline(chain, N, seed=1, batch_size=4)
        for each in (found, *found["stages"].values()):
            del each["environment"]
        return found


def draw_with_scarce_memory(run: Path, scarce: int) -> list[Any]:
    """Return the examples of samples, where the memory of one process, of rank `scarce`, suffices for `SCARCE`."""
    states = Request.states

    def short(self: Request, space: Any, cond: Any, seed: int, indices: Sequence[int], **more: Any) -> Any:
        if len(indices) > SCARCE:
            raise MemoryError
        return states(self, space, cond, seed, indices, **more)

    with joined(60):
        if ranks().rank == scarce:
            Request.states = short  # type: ignore[method-assign] # in this process of the test alone
        samples: Samples = Model.load(run).sample(N, seed=3, batch_size=4)
        return [example.numpy() for example in samples.examples]


def share_with_slow_exchange(seconds: float) -> float:
    """Return the share of a step outside computation, where each exchange of losses takes so long."""
    gather = Ranks.gather

    def slow(self: Ranks, x: Any) -> Any:
        time.sleep(seconds if self.world > 1 else 0)
        return gather(self, x)

    Ranks.gather = slow  # type: ignore[method-assign] # in this process of the test alone
    config = small(device="cpu").config
    with joined(60):
        return share_outside_computation(config, open_domain(config), 3)


def deal() -> dict[str, Any]:
    """Deal out squares of numbers, nested work, and work that fails in the second process."""

    def fail(item: int) -> int:
        if item == 3:
            raise UserError("three is bad")
        return item

    with joined(60) as here:
        found: dict[str, Any] = {
            "squares": list(dealt(range(5), lambda item: (item**2, here.rank))),
            "nested": list(dealt([1, 2], lambda item: list(dealt([item, 10 * item], lambda x: (x, ranks().world))))),
            "first": by_first(lambda: here.rank),
            "failed": (),
        }
        taken: list[int] = []
        try:
            for item in dealt([1, 2, 4, 3, 5], fail):
                taken.append(item)
        except UserError as error:
            found["failed"] = (taken, type(error).__name__, str(error))
        found["after"] = here.collect(here.rank)
        return found
