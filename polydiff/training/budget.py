"""A budget of time: the number of training steps that fit in it, measured on this machine before a run begins.

The budget becomes a number of steps once, and the run records it. So the schedule of the learning rate spans the run,
and a resumed run has the same bits as one that never stopped.
"""

from __future__ import annotations

import time
import warnings
from statistics import median

from polydiff.config.merge import Settings
from polydiff.contract.discover import build_domain
from polydiff.contract.sections import Config
from polydiff.training.session import records_of
from polydiff.training.trainer import begin

MEASURED = 30
"""Largest number of steps that are timed."""
SHARE = 0.05
"""Share of the budget that timing may take."""
FEWEST = 3
"""Smallest number of steps that are timed, whatever they take."""


def within_minutes(settings: Settings) -> Settings:
    """Return settings whose `train.steps` fit in `train.minutes` on this machine, never more steps than were set.

    Settings without a budget are returned unchanged. A warning states the measured time and the number of steps, if it
    is smaller than the one that was set.
    """
    minutes, most = settings.config.train.minutes, settings.config.train.steps
    if minutes is None:
        return settings
    seconds = seconds_per_step(settings.config, SHARE * 60 * minutes)
    steps = min(most, max(1, round(60 * minutes / seconds)))
    if steps < most:
        warnings.warn(
            f"A training step takes {seconds:.3g} s on this machine, so {steps:,} of {most:,} steps fit in "
            f"train.minutes={minutes:g}. Samples will be worse than after all steps.",
            stacklevel=2,
        )
    train = settings.config.train.model_copy(update={"steps": steps})
    source = f"train.minutes={minutes:g} at {seconds:.3g} s a step"
    return settings._replace(
        config=settings.config.model_copy(update={"train": train}),
        provenance={**settings.provenance, "train.steps": source},
    )


def seconds_per_step(config: Config, budget: float) -> float:
    """Return the median time of a training step in seconds; the first step, which allocates memory, does not count.

    Arguments:
        config: Configuration of the run, which is neither begun nor written.
        budget: Seconds after which no further step is timed.
    """
    domain = build_domain(config)
    records = records_of(config, domain, begin(config, domain), MEASURED + 1)
    next(records)
    begun = clock = time.perf_counter()
    times: list[float] = []
    for _ in records:
        now = time.perf_counter()
        times.append(now - clock)
        clock = now
        if len(times) >= FEWEST and now - begun > budget:
            break
    return median(times)
