"""How far long work is: a bar on a terminal, elsewhere a line now and then; all of it on stderr."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

EVERY = 10.0
"""Seconds between lines of progress where there is no terminal."""
SHORT = 1.0
"""Seconds of work that is not spoken of."""


class Bar:
    """A bar on a terminal; elsewhere whoever derives from it prints a line now and then.

    Arguments:
        transient: Whether it vanishes at the end.
    """

    def __init__(self, transient: bool = False) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            MofNCompleteColumn(),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=transient,
        )
        self._task: TaskID | None = None
        self._began = self._told = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


class Counting(Bar):
    """Progress of what is done item by item. Called with the number of items done; short work is not spoken of.

    Arguments:
        what: What is done.
        total: Items in all, None where that is not known.
    """

    def __init__(self, what: str, total: int | None) -> None:
        super().__init__(transient=True)
        self.what, self.total = what, total

    def __enter__(self) -> Self:
        return self

    def __call__(self, done: int) -> None:
        """Show that so many are done."""
        now = time.monotonic()
        if self._task is None and now - self._began > SHORT:
            self._bar.start()
            self._task = self._bar.add_task(self.what, total=self.total)
        if self._task is not None:
            self._bar.update(self._task, completed=done)
        if self._bar.disable and now - self._told > EVERY:
            self._told = now
            left = (now - self._began) * ((self.total or 0) / done - 1)
            of = f" of {self.total}, {clock(left)} left" if self.total and left >= 0 else ""
            self._console.print(f"{self.what}: {done}{of}", soft_wrap=True)


def clock(seconds: float) -> str:
    """Return a time as 4:05 or 1:02:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
