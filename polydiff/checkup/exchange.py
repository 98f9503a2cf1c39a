"""What several processes add to a training step: the exchange that computation does not hide, and waiting."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median

from polydiff.contract.domain import Domain
from polydiff.contract.sections.run import Config
from polydiff.machine.ranks import alone, ranks
from polydiff.training.loop import Record
from polydiff.training.steps import begin, records_of

WARM = 3
"""Steps that do not count."""


def share_outside_computation(config: Config, domain: Domain, steps: int) -> float:
    """Return the share of a training step that a process does not compute: what of the exchange is not hidden.

    Steps of all processes together take turns with steps of each process on its part of the batch alone, during which
    the others do the same, so that both have the same load on the machine. The share is 1 minus the ratio of the
    medians; at least 0. All processes call this.

    Arguments:
        config: Configuration of the run.
        domain: Its domain, with the data.
        steps: Number of steps of each kind.
    """
    together = ranks()
    own = config.train.model_copy(update={"batch_size": config.train.batch_size // together.world})
    shared = records_of(config, domain, begin(config, domain), WARM + steps)
    with alone():
        single = records_of(config.model_copy(update={"train": own}), domain, begin(config, domain), WARM + steps)
    seconds: list[tuple[float, float]] = []
    for _ in range(WARM + steps):
        together.wait()
        shared_step = timed(shared)
        together.wait()
        with alone():
            seconds.append((shared_step, timed(single)))
    medians = together.collect([median(times) for times in zip(*seconds[WARM:], strict=True)])
    shared_step, own_step = (sum(times) for times in zip(*medians, strict=True))
    return max(0.0, 1 - float(own_step) / float(shared_step))


def timed(records: Iterator[Record]) -> float:
    """Return the seconds of the next step."""
    start = time.perf_counter()
    next(records)
    return time.perf_counter() - start
