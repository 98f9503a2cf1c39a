"""The tutorials and the page of trackers work as they stand, on fewer steps."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_plugins import on_path
from repository import blocks, commands

from polydiff.cli import main
from polydiff.core import extensions


def test_the_tutorial_of_time_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each block of the page, in its order; pip installs into a folder of the test."""
    page = "docs/tutorials/time_series.md"
    monkeypatch.chdir(tmp_path)
    make, ask = blocks(page, "python")
    scope: dict[str, Any] = {}
    exec(make, scope)
    start, check, train, sample, evaluate, inpaint = commands(page)
    assert main(start) == 0
    assert any("pip install -e polydiff-weather" in code for code in blocks(page, "sh"))
    flags = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *flags, "--target", "site", "./polydiff-weather"]
    subprocess.run(command, check=True)
    on_path(monkeypatch, tmp_path / "site")
    assert check == ["domains", "check", "weather"]  # tests/scaffold runs it
    assert "train.steps=2000" in train
    few = ["backbone.channels=16", "sample.steps=4", "--judge", "20"]
    fewer = [word.replace("train.steps=2000", "train.steps=10") for word in train]
    assert main([*fewer, *few]) == 0
    assert (tmp_path / "runs" / "weather" / "report.html").is_file()
    exec(ask, scope)
    for words in (sample, evaluate, inpaint):
        assert main([word.replace("200", "20") for word in words]) == 0
    made = sorted((tmp_path / "forecasts" / "made").glob("*.csv"))
    assert len(made) == 4
    with made[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    assert all(float(row["temperature"]) < 1e6 for row in rows)


def test_the_tracker_of_the_page_of_trackers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(extensions, "_loaded", {})
    (source,) = blocks("docs/tracking.md", "python")
    (tmp_path / "diary.py").write_text(source)
    few = ["train.steps=3", "train.batch_size=8", "backbone.channels=16", "backbone.blocks=1", "sample.steps=2"]
    words = ["train", "--domain", "image", "track=diary", "--plugin", "diary.py", *few, "--judge", "0", "-o", "run"]
    assert main(words) == 0
    lines = (tmp_path / "diary.txt").read_text().splitlines()
    assert lines[0] == "run: from step 0"
    assert lines[1] == "0 real 16 files"
    assert lines[-1] == "3 samples 16 files"
