"""The tutorials and the page of trackers work as they stand, on fewer steps."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_plugins import on_path
from repository import FEW, blocks, commands

from polydiff.cli import main
from polydiff.core import extensions


def follow(page: str, shorter: dict[str, str], few: list[str]) -> None:
    """Run the commands of a page; words of `shorter` stand for others, and `few` is added where a run is trained.

    Evaluation and reports are left out: their pages' tests run them.
    """
    for words in commands(page):
        if words[0] in ("eval", "report"):
            continue
        found = [shorter.get(word, word) for word in words]
        extra = few if words[0] == "train" else ["--steps", "3"] if words[0] in ("sample", "vary", "inpaint") else []
        assert main([*found, *extra]) == 0, words


def test_the_tutorial_of_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    for kind in ("cats", "dogs"):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for i in range(12):
            pixels = np.random.default_rng(i).integers(0, 256, (34, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / kind / f"{i}.png")
        Image.fromarray(pixels).save(tmp_path / "photos" / kind / "1.jpg")
    few = ["train.steps=3", *FEW[1:-1], "0"]
    shorter = {"train.minutes=20": "data.size=8", "data.size=32": "data.labels=auto", "8,8:24,24": "2,2:6,6"}
    follow("docs/tutorials/photos.md", shorter, few)
    assert len(list((tmp_path / "cats").glob("*.png"))) == 16
    assert len(list((tmp_path / "filled" / "made").glob("*.png"))) == 1


def test_the_tutorial_of_sounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np
    import soundfile

    monkeypatch.chdir(tmp_path)
    for kind in ("kick", "snare"):
        (tmp_path / "sounds" / kind).mkdir(parents=True)
        for i in range(8):
            wave = 0.3 * np.random.default_rng(i).standard_normal(6000)
            soundfile.write(tmp_path / "sounds" / kind / f"{i}.wav", wave, 8000)
    follow("docs/tutorials/sounds.md", {"train.minutes=20": "train.steps=3"}, [*FEW[1:-1], "0"])
    assert len(list((tmp_path / "kicks").glob("*.wav"))) == 8
    assert len(list((tmp_path / "endings" / "made").glob("*.wav"))) == 1


def test_the_tutorial_of_molecules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["CCO", "CCN", "CCC", "CC=O", "CCF", "COC", "C1CC1", "CC#N", "C=CC", "CNC", "OCO", "NCN", "CC#C", "OC=O"]
    (tmp_path / "molecules.smi").write_text("\n".join(names) + "\n")
    few = ["train.steps=2", "train.batch_size=4", "backbone.hidden=16", "backbone.layers=1", "--judge", "0"]
    follow("docs/tutorials/molecules.md", {"train.minutes=30": "sample.steps=3"}, few)
    assert len(list((tmp_path / "made").glob("*.sdf"))) == 8


def test_the_tutorial_of_samplers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from polydiff.gaussian.sampling.plan import SAMPLERS

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(extensions, "_loaded", {})
    own, measure = blocks("docs/tutorials/sampler.md", "python")
    with SAMPLERS.temporary():
        exec(own, {})
        exec(measure, {})
    spread = [float(line.split()[4].rstrip(",")) for line in capsys.readouterr().out.splitlines()]
    assert abs(spread[2] - 0.5) < abs(spread[0] - 0.5)
    assert spread[2] == pytest.approx(0.5, abs=0.03)
    (tmp_path / "stir.py").write_text(own)
    with SAMPLERS.temporary():
        follow("docs/tutorials/sampler.md", {"train.steps=1500": "train.steps=3"}, [*FEW[1:-1], "0"])


def test_the_notebook_of_the_core(capsys: pytest.CaptureFixture[str]) -> None:
    """Each cell in turn, with fewer steps; the points lie near the ring, and the noise falls to 0."""
    scope: dict[str, Any] = {}
    for cell in blocks("docs/tutorials/core.md", "python"):
        exec(cell.replace("steps=600", "steps=300"), scope)
    lines = capsys.readouterr().out.splitlines()
    assert float(lines[1].split()[1]) == pytest.approx(1.0, abs=0.06)
    levels = [float(line.split()[2].rstrip(",")) for line in lines if line.startswith("noise level")]
    assert levels == sorted(levels, reverse=True)
    assert levels[-1] == 0
    assert {line.split()[0] for line in lines[-3:]} == {"ddim", "heun", "er_sde"}


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
