"""Tests of `polydiff.gallery.journal`."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawing_cases import FEW, SMALL, files, stop_after
from fake_plugins import install_ring

import polydiff
from polydiff.cli import main
from polydiff.gallery.journal import JOURNAL
from polydiff.gallery.writer import draw


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory):
    """Folders of small runs, trained for next to nothing."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as monkeypatch:
        install_ring(folder / "plugins", monkeypatch)
        for name, more in SMALL.items():
            polydiff.train("molecule" if name == "dense" else name, folder / name, overrides={**FEW, **more})
        yield folder


def test_a_torn_line_and_a_damaged_file_are_made_again(runs: Path, tmp_path: Path) -> None:
    model = polydiff.load(runs / "ring")
    draw(model, tmp_path / "whole", 80, batch_size=8)
    with pytest.MonkeyPatch.context() as monkeypatch:
        stop_after(9, monkeypatch)
        with pytest.raises(KeyboardInterrupt):
            draw(model, tmp_path / "torn", 80, batch_size=8)
    with (tmp_path / "torn" / JOURNAL).open("a") as file:
        file.write('[72, [{"file": "sampl')
    (tmp_path / "torn" / "sample-00041.json").write_text("")
    progress_calls: list[int] = []
    draw(model, tmp_path / "torn", 80, progress=lambda done, n: progress_calls.append(done))
    assert progress_calls[0] == 40
    assert files(tmp_path / "torn") == files(tmp_path / "whole")


def test_a_damaged_journal_is_told_of(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / JOURNAL).write_text("7\n")
    assert main(["sample", str(runs / "ring"), "-o", str(tmp_path)]) == 2
    assert "is damaged" in capsys.readouterr().err
