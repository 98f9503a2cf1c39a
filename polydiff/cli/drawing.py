"""Progress of drawing many samples."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from polydiff.cli.output import EVERY, clock


class DrawingProgress:
    """A bar on a terminal, a line every ten seconds elsewhere. Called after each batch."""

    def __init__(self) -> None:
        self.done = 0
        self._console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task: TaskID | None = None
        self._began = self._told = time.monotonic()
        self._before: int | None = None

    def __enter__(self) -> DrawingProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, done: int, n: int) -> None:
        """Show that so many of n samples are written; the first call says how many there were before."""
        now = time.monotonic()
        if self._before is None:
            self._before, self._began, self._task = done, now, self._bar.add_task("", total=n, completed=done)
        self.done = done
        speed = (done - self._before) / max(now - self._began, 1e-9)
        text = f"{speed:.1f} samples/s" if speed else ""
        if self._task is not None:
            self._bar.update(self._task, completed=done, description=text)
        if self._bar.disable and now - self._told > EVERY and speed:
            self._told = now
            self._console.print(f"{done}/{n}  {text}  {clock((n - done) / speed)} left", soft_wrap=True)
