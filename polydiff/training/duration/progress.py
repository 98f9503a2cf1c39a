"""Progress of training, with the time that a run still needs: steps, sets of samples and the evaluation after it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from polydiff.support.errors import amount
from polydiff.support.progress import Bar, clock, showing, speed

if TYPE_CHECKING:
    from polydiff.training.loop import Record

Progress = Callable[["Record", float], None]
"""Called after each step with its record and the run's seconds so far."""

BACKWARD = 3.0
"""Cost of a training step in forward passes: one forward, and a backward of about two."""

SETS = 6
"""Largest number of sets in a run if train.sample_every=0."""


def interval(sample_every: int, steps: int) -> int:
    """Return the number of steps between sets of samples.

    Arguments:
        sample_every: `train.sample_every`; 0: up to `SETS` sets in a run.
        steps: Steps of the whole run.
    """
    return sample_every or max(1, math.ceil(steps / SETS))  # not rounded down: the last two sets would be alike


@dataclass
class Forecast:
    """Seconds that a run still needs.

    Sampling is measured as soon as the run has drawn samples. Before, it follows from the time of a step.

    Arguments:
        steps: Number of steps of the whole run.
        batch_size: Examples a step.
        every: A set of samples is drawn after every so many steps and after the last; 0: never.
        shown: Samples in a set.
        calls: Network evaluations for a sample; None: unknown.
        evaluated: Samples of the evaluation after training.
    """

    steps: int
    batch_size: int
    every: int
    shown: int
    calls: int | None
    evaluated: int = 0
    stepping: float = 0.0
    sampling: float = 0.0
    stepped: int = 0
    sampled: int = 0
    begun: bool = False

    def record(self, seconds: float, sampling: float, drawn: bool) -> None:
        """Record a step.

        Arguments:
            seconds: Its time without that of its samples.
            sampling: The time of its samples.
            drawn: Whether a set of samples was drawn after it.
        """
        if drawn:
            self.sampling, self.sampled = self.sampling + sampling, self.sampled + self.shown
        if self.begun:
            self.stepping, self.stepped = self.stepping + seconds, self.stepped + 1
        self.begun = True  # the first step is slow, so it predicts no time

    def left(self, step: int) -> float | None:
        """Return the seconds needed after a step; None before two steps are timed."""
        if not self.stepped:
            return None
        return self.needed(step, self.stepping / self.stepped)

    def needed(self, step: int, a_step: float) -> float:
        """Return the seconds needed after a step if each step takes `a_step` seconds."""
        a_sample = (
            self.sampling / self.sampled if self.sampled else a_step * (self.calls or 0) / (BACKWARD * self.batch_size)
        )
        return (self.steps - step) * a_step + (self.sets(step) * self.shown + self.evaluated) * a_sample

    def sets(self, step: int) -> int:
        """Return the number of sets of samples that are drawn after a step."""
        if not self.every or step >= self.steps:
            return 0
        return self.steps // self.every - step // self.every + (self.steps % self.every > 0)


class TrainingProgress(Bar):
    """Progress of training: the step, a running mean of the loss, the speed, the time left. Called after each step.

    Arguments:
        steps: Number of steps of the whole run.
        evaluated: Number of samples that the caller evaluates after training, which the run keeps; None: not known.
        title: Line that is printed when training begins, after all that can fail before it; "" for none.
    """

    def __init__(self, steps: int, evaluated: int | None = None, title: str = "") -> None:
        super().__init__(remaining=False)
        self.steps, self.evaluated, self.title = steps, evaluated, title
        self.seen = 0
        self.forecast: Forecast | None = None
        self._mean = math.nan

    def expect(self, forecast: Forecast) -> None:
        """Take over the forecast of a run and its number of steps, and add the evaluation to it."""
        if self.title and self.form != "none":
            self._console.print(self.title, soft_wrap=True)
        self.title = ""  # the forecast of a changed plan repeats no title
        forecast.evaluated = self.evaluated or 0
        self.forecast, self.steps = forecast, forecast.steps

    def __call__(self, record: Record, seconds: float) -> None:
        """Show a step; `seconds` is not used."""
        self.seen += 1
        weight = max(0.02, 1 / self.seen)
        self._mean = record.loss if self.seen == 1 else self._mean + weight * (record.loss - self._mean)
        now = time.monotonic()
        if self.form == "none":
            return
        text = f"loss {self._mean:.4f}  {self.pace(now)}"
        if self.form == "lines":
            ends = self.seen == 1 or record.step == self.steps
            if self._line_due(now) or ends:
                self._console.print(f"step {record.step}/{self.steps}  {text}{self.left(record.step)}", soft_wrap=True)
            return
        if self._task is None:
            self._task = self._bar.add_task(text, total=self.steps, completed=record.step)
        text = f"{text}{self.left(record.step)}"
        self._bar.update(self._task, total=self.steps, completed=record.step, description=text)

    def pace(self, now: float) -> str:
        """Return the speed of the steps, without the time of samples if that is known."""
        if self.forecast and self.forecast.stepped:
            return speed(self.forecast.stepped, self.forecast.stepping, "steps")
        return speed(self.seen, now - self._started, "steps")

    def left(self, step: int) -> str:
        """Return the time left as text, after the last step with what it is for; "" if it is unknown or over."""
        seconds = self.forecast.left(step) if self.forecast else None
        if seconds is None or round(seconds) == 0:
            return ""
        return f"  {clock(seconds)} left" + (
            f" for {amount(self.evaluated or 0, 'sample')} to evaluate" if step >= self.steps else ""
        )


@contextmanager
def shown(progress: Progress | bool | None, steps: int) -> Iterator[Progress | None]:
    """Yield what to call after each step.

    Arguments:
        progress: A function; True: show progress; False: show none; None: show it on a terminal and in a notebook.
        steps: Number of steps of the whole run.
    """
    if progress is False:
        with showing(False):
            yield None
    elif progress is None or progress is True:
        with showing(progress), TrainingProgress(steps) as bar:
            yield bar
    else:
        yield progress
