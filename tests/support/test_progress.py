"""Progress on stderr: when it is shown, in which form, and what it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from polydiff.support import progress
from polydiff.support.progress import Counting, announce, clock, counted, form, showing, speed


@pytest.mark.parametrize(
    ("done", "seconds", "text"),
    [
        (100, 8.0, "12.5 steps/s"),
        (3, 3.0, "1.0 steps/s"),
        (1, 8.2, "8.2 s/step"),
        (2, 600, "300.0 s/step"),
        (0, 5.0, "0.0 steps/s"),
    ],
)
def test_slow_work_has_its_seconds_per_item(done: int, seconds: float, text: str) -> None:
    assert speed(done, seconds, "steps") == text


def test_durations_are_written_as_a_clock_shows_them() -> None:
    assert [clock(s) for s in (5, 245, 3723)] == ["0:05", "4:05", "1:02:03"]


def console(**kind: bool) -> Any:
    made = Console(stderr=True, force_terminal=kind.get("terminal", False))
    made.is_jupyter = kind.get("notebook", False)
    return made


def test_python_shows_progress_on_a_terminal_and_in_a_notebook_alone() -> None:
    assert form(console(terminal=True)) == "bar"
    assert form(console(notebook=True)) in ("bar", "lines")
    assert form(console()) == "none"


def test_the_command_line_prints_lines_where_there_is_no_terminal_and_false_shows_nothing_anywhere() -> None:
    with showing(True):
        assert form(console()) == "lines"
        with showing(None):
            assert form(console()) == "lines"
        with showing(False):
            assert form(console()) == form(console(terminal=True)) == form(console(notebook=True)) == "none"
    assert form(console()) == "none"


def test_counted_yields_all_items_and_prints_how_many_are_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    with showing(True):
        assert list(counted("files", 3, "abc")) == ["a", "b", "c"]
    assert "files: 2 of 3" in capsys.readouterr().err
    assert list(counted("files", 3, "abc")) == ["a", "b", "c"]
    announce("quiet")
    assert capsys.readouterr().err == ""


def test_a_bar_within_a_bar_is_one_display_with_two_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two displays on one terminal would overwrite each other."""
    monkeypatch.setattr(progress, "SILENT_SECONDS", -1.0)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with Counting("outer", 2) as outer:
        outer(1)
        assert len(progress._live) == 1
        with Counting("inner", 5) as inner:
            inner(1)
            assert len(progress._live) == 1
            assert [task.description for task in progress._live[0].tasks] == ["outer", "inner"]
        assert [task.description for task in progress._live[0].tasks] == ["outer"]
    assert progress._live == []


def test_a_bar_ends_with_an_error_within_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SILENT_SECONDS", -1.0)
    monkeypatch.setenv("FORCE_COLOR", "1")

    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(counted("items", 2, broken()))
    assert progress._live == []
