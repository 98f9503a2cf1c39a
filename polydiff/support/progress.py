"""Progress on stderr: a bar on a terminal, otherwise a line every few seconds."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

LINE_SECONDS = 10.0
"""Seconds between lines of progress if stderr is no terminal."""
SILENT_SECONDS = 1.0
"""Work that takes less time than this shows no bar."""


class Bar:
    """A progress bar on a terminal. If stderr is no terminal, subclasses print lines instead.

    Arguments:
        transient: Whether the bar disappears at the end.
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
        self._started = self._printed = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


class Counting(Bar):
    """Progress of work on countable items. Call it with the number of items done; short work shows nothing.

    Arguments:
        what: The work, such as "reading files".
        total: Number of all items; None: unknown.
    """

    def __init__(self, what: str, total: int | None) -> None:
        super().__init__(transient=True)
        self.what, self.total = what, total

    def __enter__(self) -> Self:
        return self

    def __call__(self, done: int) -> None:
        """Show that `done` items are done."""
        now = time.monotonic()
        if self._task is None and now - self._started > SILENT_SECONDS:
            self._bar.start()
            self._task = self._bar.add_task(self.what, total=self.total)
        if self._task is not None:
            self._bar.update(self._task, completed=done)
        if self._bar.disable and now - self._printed > LINE_SECONDS:
            self._printed = now
            left = (now - self._started) * ((self.total or 0) / done - 1)
            of = f" of {self.total}, {clock(left)} left" if self.total and left >= 0 else ""
            self._console.print(f"{self.what}: {done}{of}", soft_wrap=True)


def clock(seconds: float) -> str:
    """Return a duration in seconds as text, such as 4:05 or 1:02:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
