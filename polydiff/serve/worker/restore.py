"""In the worker: examples that agree with a measurement, and examples restored from a degraded form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from polydiff.contract.domain import Samples
from polydiff.model.model import Model
from polydiff.model.request import Request
from polydiff.model.restore import made, read_degraded, to_samples
from polydiff.model.solve import read_measured, simple_estimate, solve, solving
from polydiff.serve.limits import Limits
from polydiff.serve.worker.examples import check_size, example
from polydiff.serve.worker.meter import Meter, check_steps


class Restored(NamedTuple):
    """Results of a job.

    Attributes:
        samples: What the model made.
        given: What it started from, as an example: the estimate of a simple method.
    """

    samples: Samples
    given: Samples


def solved(job: Mapping[str, Any], model: Model, meter: Meter, limits: Limits) -> Restored:
    """Return n examples that agree with the measurement of one."""
    options = {"iterations": job["iterations"], "zeta": job["zeta"]}
    request = solving(model, job["how"], options, job["sampling"])
    how = {"noise": job["noise"], "seed": job["seed"]}

    def part(first: int, n: int) -> Restored:
        if job["measured"]:
            given, y = read_measured(model, job["given"], [job["source"]] * n)
            check_size(model, given, n)
        else:
            given, y = example(model, job["source"], n), None
        simple = simple_estimate(model, given, job["given"], y=y, first=first, **how)
        found = solve(
            model, given, job["given"], y=y, how=job["how"], first=first, cond=job["cond"], **options, **how,
            **job["sampling"],
        )  # fmt: skip
        return Restored(found, simple)

    return in_batches(job["n"], request, part, meter, limits)


def restored(job: Mapping[str, Any], model: Model, meter: Meter, limits: Limits) -> Restored:
    """Return n restorations of one degraded example."""
    request = Request.of(model, job["sampling"])

    def part(first: int, n: int) -> Restored:
        given = read_degraded(model, [Path(job["source"])] * n, job["degrade"])
        check_size(model, given, n)
        found = made(request, given, keep=job["keep"], seed=job["seed"], first=first, cond=job["cond"])
        return Restored(found, to_samples(model, given.x, given, given.cond))

    return in_batches(job["n"], request, part, meter, limits)


def in_batches(
    n: int, request: Request, part: Callable[[int, int], Restored], meter: Meter, limits: Limits
) -> Restored:
    """Return n results, computed a batch at a time.

    Arguments:
        n: How many.
        request: How they are drawn.
        part: Takes the number of the first result and the number of results, and returns them.
        meter: Of the job.
        limits: The server's.
    """
    check_steps(request.how.steps, limits)
    size = request.batch_size
    meter.plan(request.evaluations(), math.ceil(n / size), limits)
    parts = [part(first, min(size, n - first)) for first in range(0, n, size)]
    return Restored(Samples.join([one.samples for one in parts]), parts[0].given.take([0]))
