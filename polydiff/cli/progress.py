"""Progress of drawing many samples."""

from __future__ import annotations

import time

from polydiff.support.progress import LINE_SECONDS, Bar, clock


class DrawingProgress(Bar):
    """Progress of drawing: a bar, or a line every ten seconds. Called after each batch."""

    def __init__(self) -> None:
        super().__init__(transient=True)
        self.done = 0
        self._before: int | None = None

    def __call__(self, done: int, n: int) -> None:
        """Show that so many of n samples are written; the first call says how many there were before."""
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
