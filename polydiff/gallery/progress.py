"""Progress of sampling, as a bar or lines on stderr."""

from __future__ import annotations

import time

from polydiff.support.progress import Bar, clock, speed


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
        drawn, seconds = done - self._before, now - self._started
        text = speed(drawn, seconds, "samples") if drawn else ""
        if self._task is not None:
            self._bar.update(self._task, completed=done, description=text)
        if drawn and self._line_due(now):
            self._console.print(f"{done}/{n}  {text}  {clock((n - done) * seconds / drawn)} left", soft_wrap=True)
