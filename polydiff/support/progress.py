"""Progress on stderr: a bar on a terminal or in a notebook, elsewhere a line every few seconds.

The command line always shows progress. Functions called from Python show it on a terminal and in a notebook only;
their argument `progress` overrides this (`showing`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import TracebackType
from typing import Literal, Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from polydiff.support.launched import launched

T = TypeVar("T")

LINE_SECONDS = 10.0
"""Seconds between lines of progress if there is no bar."""
SILENT_SECONDS = 1.0
"""Work that takes less time than this shows no bar."""

_chosen: list[bool] = []
"""What the callers of `showing` chose, the innermost last."""
_live: list[Progress] = []
"""Bars on the screen, the innermost last; a further one becomes a line of the first."""


@contextmanager
def showing(on: bool | None) -> Iterator[None]:
    """Show progress within this context, or show none; None: leave the choice as it is."""
    if on is not None:
        _chosen.append(on)
    try:
        yield
    finally:
        if on is not None:
            _chosen.pop()


def form(console: Console) -> Literal["bar", "lines", "none"]:
    """Return the form in which progress is shown now; the first of several processes shows it for all."""
    if (_chosen and not _chosen[-1]) or launched().rank > 0:
        return "none"
    if console.is_terminal or (console.is_jupyter and find_spec("ipywidgets")):
        return "bar"
    return "lines" if _chosen or console.is_jupyter else "none"


def announce(text: str) -> None:
    """Print a line about work that begins, unless no progress is shown."""
    console = _live[-1].console if _live else Console(stderr=True, highlight=False)
    if form(console) != "none":
        console.print(text, soft_wrap=True)


class Bar:
    """A progress bar on a terminal or in a notebook. Elsewhere, subclasses print lines instead, or nothing.

    Arguments:
        transient: Whether the bar disappears at the end.
        remaining: Whether the bar estimates the remaining time by itself.
    """

    def __init__(self, transient: bool = False, remaining: bool = True) -> None:
        self._console = Console(stderr=True, highlight=False)
        self.form = form(self._console)
        self._own = None if _live else self._new(transient, remaining)
        self._bar = self._own or _live[-1]
        self._task: TaskID | None = None
        self._started = self._printed = time.monotonic()

    def _new(self, transient: bool, remaining: bool) -> Progress:
        """Return a bar that is not on the screen yet."""
        left = [TimeRemainingColumn()] if remaining else []
        columns = (MofNCompleteColumn(), BarColumn(), *left, TextColumn("{task.description}"))
        return Progress(*columns, console=self._console, disable=self.form != "bar", transient=transient)

    def _start(self) -> None:
        """Put the bar on the screen."""
        if self._own and self._own not in _live:
            _live.append(self._own)
            self._own.start()

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own in _live:
            _live.remove(self._own)
            self._own.stop()
        elif not self._own and self._task is not None:
            self._bar.remove_task(self._task)

    def _line_due(self, now: float) -> bool:
        """Return whether a line should be printed; the next is due `LINE_SECONDS` later."""
        due = self.form == "lines" and now - self._printed > LINE_SECONDS
        if due:
            self._printed = now
        return due


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
            self._start()
            self._task = self._bar.add_task(self.what, total=self.total)
        if self._task is not None:
            self._bar.update(self._task, completed=done)
        if self._line_due(now):
            left = (now - self._started) * ((self.total or 0) / done - 1) if done else -1
            of = f" of {self.total}, {clock(left)} left" if self.total and left >= 0 else ""
            self._console.print(f"{self.what}: {done}{of}", soft_wrap=True)


def counted(what: str, total: int | None, items: Iterable[T]) -> Iterator[T]:
    """Yield items, and show how many of `total` have been taken."""
    with Counting(what, total) as show:
        for done, item in enumerate(items, 1):
            show(done)
            yield item


def speed(done: float, seconds: float, unit: str) -> str:
    """Return a speed as text: 12.3 steps/s, or 8.2 s/step if it is slow; `unit` is a plural such as "steps"."""
    a_second = done / max(seconds, 1e-9)
    return f"{a_second:.1f} {unit}/s" if a_second >= 1 or not done else f"{1 / a_second:.1f} s/{unit.removesuffix('s')}"


def clock(seconds: float) -> str:
    """Return a duration in seconds as text, such as 4:05 or 1:02:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def log(text: str) -> None:
    """Print a message on stderr at once, in the first of several processes."""
    if launched().rank == 0:
        print(text, file=sys.stderr, flush=True)
