"""Tests of `polydiff.gallery.journal`."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawing_cases import draw_and_stop, files

import polydiff
from polydiff.cli import main
from polydiff.gallery.journal import JOURNAL
from polydiff.gallery.writer import draw


def test_a_torn_line_and_a_damaged_file_are_made_again(small_runs: Path, tmp_path: Path) -> None:
    model = polydiff.load(small_runs / "ring")
    draw(model, tmp_path / "whole", 80, batch_size=8)
    draw_and_stop(9, model, tmp_path / "torn", 80, batch_size=8)
    with (tmp_path / "torn" / JOURNAL).open("a") as file:
        file.write('[72, [{"file": "sampl')
    (tmp_path / "torn" / "sample-00041.json").write_text("")
    progress_calls: list[int] = []
    draw(model, tmp_path / "torn", 80, progress=lambda done, n: progress_calls.append(done))
    assert progress_calls[0] == 40
    assert files(tmp_path / "torn") == files(tmp_path / "whole")


def test_a_damaged_journal_is_an_error(small_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / JOURNAL).write_text("7\n")
    assert main(["sample", str(small_runs / "ring"), "-o", str(tmp_path)]) == 2
    assert "is damaged" in capsys.readouterr().err
