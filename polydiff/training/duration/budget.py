"""A budget of time: the number of training steps that fit in it, measured before a run begins and while it trains.

Checkpoints record the number of steps, so the schedule of the learning rate spans the run, and a run that is resumed
has the bits of one that never stopped. While the run trains, a `Watch` compares its time with the budget. If the
machine has become slower, it lowers the number of steps. From there, the learning rate follows the schedule of a run
of that many steps: it drops once and still falls to its end.
"""

from __future__ import annotations

import math
import time
import warnings
from collections import deque
from dataclasses import dataclass, field, replace
from statistics import fmean, median

from polydiff.config.merge import Settings
from polydiff.contract.domain import Domain
from polydiff.contract.sections.run import Config
from polydiff.machine.ranks import ranks
from polydiff.support.errors import UserError, amount
from polydiff.support.progress import announce
from polydiff.training.duration.progress import Forecast, interval
from polydiff.training.steps import begin, records_of

MEASURED = 30
"""Largest number of steps that are timed before the run."""
SHARE = 0.05
"""Share of the budget that timing before the run may take."""
FEWEST = 3
"""Smallest number of steps that are timed before the run; one if it takes longer than the budget."""
SENSIBLE = 100
"""Number of steps of the smallest budget that is advised; fewer only if the run has fewer."""
WINDOW = 0.1
"""Share of the budget over which the time of a step is averaged while the run trains."""
LEFT_OUT = 0.1
"""Share of these steps, the slowest, that the average leaves out: a stall says nothing about later steps."""
TOLERANCE = 0.1
"""Share of the budget by which a run may exceed it before its number of steps is lowered."""


def seconds_per_step(config: Config, domain: Domain) -> float | None:
    """Return the median time of a training step in seconds, None for a run without a budget.

    The first step, which allocates memory, does not count. The run is neither begun nor written.

    Arguments:
        config: Configuration of the run.
        domain: Its domain, with the data.
    """
    if config.train.minutes is None:
        return None
    announce(f"Timing up to {MEASURED} training steps, to see how many fit in train.minutes={config.train.minutes:g}")
    records = records_of(config, domain, begin(config, domain), MEASURED + 1)
    next(records)
    begun = clock = time.perf_counter()
    times: list[float] = []
    for _ in records:
        now = time.perf_counter()
        times.append(now - clock)
        clock = now
        budget = 60 * config.train.minutes
        if ranks().agree(now - begun > (SHARE if len(times) >= FEWEST else 1) * budget):
            break
    return median(times)


def within_minutes(settings: Settings, forecast: Forecast, seconds: float | None) -> Settings:
    """Return settings whose `train.steps` fit in `train.minutes` on this machine, never more steps than were set.

    Settings without a budget are returned unchanged. A warning states the measured time and the number of steps, if it
    is smaller than the one that was set.

    Arguments:
        settings: Configuration of the run.
        forecast: Forecast of the run before its first step.
        seconds: What `seconds_per_step` measured.

    Raises:
        UserError: Not one step fits.
    """
    minutes, most = settings.config.train.minutes, settings.config.train.steps
    if minutes is None or seconds is None:
        return settings
    check_fits(forecast, settings.config.train.sample_every, minutes, seconds)
    steps = fitting(forecast, settings.config.train.sample_every, 0, 60 * minutes, seconds)
    if steps < most:
        warnings.warn(
            f"A training step takes {seconds:.3g} s on this machine, so {steps:,} of {most:,} steps fit in "
            f"train.minutes={minutes:g}. Samples will be worse than after all steps.",
            stacklevel=2,
        )
    return with_steps(settings, steps, f"train.minutes={minutes:g} at {seconds:.3g} s a step")


def check_fits(forecast: Forecast, sample_every: int, minutes: float, a_step: float) -> None:
    """Raise UserError unless a run of one step, with its samples, fits in a budget; it names the least sensible one.

    Arguments:
        forecast: Forecast of the run with all its steps.
        sample_every: `train.sample_every`.
        minutes: The budget.
        a_step: Time of a step in seconds.
    """
    if planned(forecast, sample_every, 1).needed(0, a_step) <= 60 * minutes:
        return
    steps = min(SENSIBLE, forecast.steps)
    least = math.ceil(planned(forecast, sample_every, steps).needed(0, a_step) / 60 * 100) / 100
    samples = " and the samples that a run draws" if forecast.every else ""
    raise UserError(
        f"A training step takes {a_step:.3g} s on this machine, so not one step{samples} fits in "
        f"train.minutes={minutes:g}. Set train.minutes={least:g} or more, for {amount(steps, 'step')}; leave "
        f"train.minutes out for all {forecast.steps:,}."
    )


def with_steps(settings: Settings, steps: int, source: str) -> Settings:
    """Return settings with another number of steps.

    Arguments:
        settings: Configuration of the run.
        steps: The number of steps.
        source: Where it comes from, for config.resolved.yaml.
    """
    train = settings.config.train.model_copy(update={"steps": steps})
    config = settings.config.model_copy(update={"train": train})
    return settings._replace(config=config, provenance={**settings.provenance, "train.steps": source})


def planned(forecast: Forecast, sample_every: int, steps: int) -> Forecast:
    """Return the forecast of the same run with another number of steps, without its evaluation.

    Arguments:
        forecast: Forecast of the run.
        sample_every: `train.sample_every`.
        steps: The other number of steps.
    """
    return replace(forecast, steps=steps, every=forecast.every and interval(sample_every, steps), evaluated=0)


def fitting(forecast: Forecast, sample_every: int, step: int, seconds: float, a_step: float) -> int:
    """Return the largest number of steps of a run that fits in a time, at least one step more than are done.

    Arguments:
        forecast: Forecast of the run with all its steps, which are not exceeded.
        sample_every: `train.sample_every`.
        step: Steps done.
        seconds: Time left for steps and sets of samples.
        a_step: Time of a step in seconds.
    """
    low, high = step + 1, max(forecast.steps, step + 1)
    while low < high:
        middle = (low + high + 1) // 2
        if planned(forecast, sample_every, middle).needed(step, a_step) <= seconds:
            low = middle
        else:
            high = middle - 1
    return low


@dataclass
class Watch:
    """Compares the time of a run with its budget while it trains.

    The time of a step is the mean over the last tenth of the budget (`WINDOW`), without the slowest tenth of the steps
    (`LEFT_OUT`), so that a short disturbance costs no steps. A number of steps that was lowered is not raised again,
    since the learning rate would rise with it.

    Arguments:
        minutes: The budget, `train.minutes`.
        sample_every: `train.sample_every`.
    """

    minutes: float
    sample_every: int
    recent: deque[float] = field(default_factory=deque)
    begun: bool = False

    def record(self, seconds: float) -> None:
        """Record the time of a step without that of its samples; the first of a session does not count."""
        if self.begun:
            self.recent.append(seconds)
        self.begun = True
        while len(self.recent) > 1 and sum(self.recent) - self.recent[0] >= self.window:
            self.recent.popleft()

    @property
    def window(self) -> float:
        """Seconds over which the time of a step is averaged."""
        return WINDOW * 60 * self.minutes

    @property
    def step_seconds(self) -> float:
        """The time of a step."""
        return fmean(sorted(self.recent)[: len(self.recent) - int(LEFT_OUT * len(self.recent))])

    def steps(self, forecast: Forecast, step: int, elapsed: float) -> int:
        """Return the number of steps that the run should have: as planned, unless that exceeds the budget clearly.

        Arguments:
            forecast: Forecast of the run as planned.
            step: Steps done.
            elapsed: Seconds of training so far.
        """
        limit, total = 60 * self.minutes, sum(self.recent)
        if step >= forecast.steps or not total or (total < self.window and elapsed <= limit):
            return forecast.steps
        a_step = self.step_seconds
        needed = planned(forecast, self.sample_every, forecast.steps).needed(step, a_step)
        if elapsed + needed <= (1 + TOLERANCE) * limit:
            return forecast.steps
        return fitting(forecast, self.sample_every, step, limit - elapsed, a_step)

    def lowered(self, settings: Settings, forecast: Forecast, step: int, elapsed: float) -> Settings | None:
        """Return settings with fewer steps, with a warning, if the run would exceed its budget clearly; else None.

        Arguments:
            settings: Configuration of the run.
            forecast: Forecast of the run as planned.
            step: Steps done.
            elapsed: Seconds of training so far.
        """
        steps = ranks().agree(self.steps(forecast, step, elapsed))
        if steps >= forecast.steps:
            return None
        seconds, minutes = ranks().agree(self.step_seconds), f"train.minutes={self.minutes:g}"
        self.recent.clear()  # the next decision rests on other steps
        warnings.warn(
            f"After step {step:,}, a training step takes {seconds:.3g} s, so the run ends after {steps:,} instead of "
            f"{forecast.steps:,} steps to keep {minutes}. The learning rate follows the schedule of {steps:,} steps.",
            stacklevel=2,
        )
        return with_steps(settings, steps, f"{minutes} at {seconds:.3g} s a step, measured after step {step}")
