"""Progress of training and of sampling, as bars or lines on stderr."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from polydiff.support.progress import LINE_SECONDS, Bar, clock

if TYPE_CHECKING:
    from polydiff.training.loop import Record


class DrawingProgress(Bar):
    """Progress of sampling: a bar, or a line every ten seconds if stderr is no terminal. Called after each batch."""

    def __init__(self) -> None:
        super().__init__(transient=True)
        self.done = 0
        self._before: int | None = None

    def __call__(self, done: int, n: int) -> None:
        """Show that `done` of `n` samples are written; the first call gives the number written before the start."""
        now = time.monotonic()
        if self._before is None:
            self._before, self._started, self._task = done, now, self._bar.add_task("", total=n, completed=done)
        self.done = done
        speed = (done - self._before) / max(now - self._started, 1e-9)
        text = f"{speed:.1f} samples/s" if speed else ""
        if self._task is not None:
            self._bar.update(self._task, completed=done, description=text)
        if self._bar.disable and now - self._printed > LINE_SECONDS and speed:
            self._printed = now
            self._console.print(f"{done}/{n}  {text}  {clock((n - done) / speed)} left", soft_wrap=True)


class TrainingProgress(Bar):
    """Progress of training: the step, a running mean of the loss, the speed. Called after each step.

    Arguments:
        steps: Number of steps of the whole run.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.seen = 0
        self._mean = math.nan

    def __call__(self, record: Record, seconds: float) -> None:
        """Show a step; `seconds` is not used."""
        self.seen += 1
        weight = max(0.02, 1 / self.seen)
        self._mean = record.loss if self.seen == 1 else self._mean + weight * (record.loss - self._mean)
        now = time.monotonic()
        speed = self.seen / max(now - self._started, 1e-9)
        text = f"loss {self._mean:.4f}  {speed:.1f} steps/s"
        if self._task is None:
            self._task = self._bar.add_task(text, total=self.steps, completed=record.step)
        self._bar.update(self._task, completed=record.step, description=text)
        if self._bar.disable and (now - self._printed > LINE_SECONDS or self.seen == 1 or record.step == self.steps):
            self._printed = now
            # The first step is slow, so it predicts no time.
            left = f"  {clock((self.steps - record.step) / speed)} left" if self.seen > 1 else ""
            self._console.print(f"step {record.step}/{self.steps}  {text}{left}", soft_wrap=True)
