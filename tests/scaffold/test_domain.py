"""A started domain is a package that installs, keeps the rules of domains, trains, samples, and fills empty cells."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_plugins import on_path
from repository import ROOT

from polydiff.cli import main
from polydiff.scaffold.domain import write_domain
from polydiff.support.errors import UserError

FEW = ["train.steps=20", "train.batch_size=16", "backbone.channels=16", "sample.steps=5"]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of a new domain, tides."""
    folder = tmp_path_factory.mktemp("new") / "polydiff-tides"
    assert main(["domains", "new", "tides", "-o", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def installed(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on the path of this process and its children, into which pip has installed the package."""
    site = tmp_path_factory.mktemp("site")
    flags = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *flags, "--target", str(site), str(package)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with pytest.MonkeyPatch.context() as monkeypatch:
        on_path(monkeypatch, site)
        yield site


def table(path: Path, rows: int = 160) -> Path:
    """A table with a column of dates, and two of numbers."""
    lines = [f"day {i},{10 + 5 * math.sin(i / 4):.3f},{i % 6}" for i in range(rows)]
    path.write_text("\n".join(["when,height,wind", *lines]) + "\n")
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_its_own_tests_pass(package: Path, installed: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=package)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


@pytest.fixture(scope="module")
def trained(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table and a run of 20 steps on its windows of 24 rows."""
    folder = tmp_path_factory.mktemp("trained")
    words = [f"data.path={table(folder / 'table.csv')}", "data.length=24", *FEW, "--judge", "0"]
    assert main(["train", "--domain", "tides", *words, "-o", str(folder / "run")]) == 0
    return folder


def test_it_trains_samples_and_evaluates_on_a_table(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(trained)
    assert "polyline" in Path("run/report.html").read_text()
    assert main(["sample", "run", "-n", "3", "--cond", "mean=11.5", "-o", "drawn"]) == 0
    manifest = json.loads(Path("drawn/manifest.json").read_text())
    assert [entry["cond"] for entry in manifest["samples"]] == [{"mean": 11.5}] * 3
    rows = read(Path("drawn") / manifest["samples"][0]["file"])
    assert list(rows[0]) == ["height", "wind"]
    assert len(rows) == 24
    capsys.readouterr()
    assert main(["eval", "run", "-n", "64", "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert metrics["spectrum"]["data"] < 0.5 * metrics["spectrum"]["noise"]


def test_empty_cells_of_a_table_are_generated_and_the_others_kept(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    lines = table(Path("part.csv"), 24).read_text().splitlines()
    lines[20:] = [f"day {i},," for i in range(19, 24)]
    Path("part.csv").write_text("\n".join(lines) + "\n")
    assert main(["inpaint", "run", "part.csv", "-o", "filled"]) == 0
    (made,) = Path("filled/made").glob("*.csv")
    given, filled = read(Path("part.csv")), read(made)
    assert all(row["height"] and row["wind"] for row in filled)
    for before, after in zip(given[:19], filled[:19], strict=True):
        assert float(after["height"]) == pytest.approx(float(before["height"]), abs=1e-3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.path=none.csv"], "There is no file"),
        (["data.path=table.csv", "data.columns=[depth]"], "has no column 'depth'. Its columns: when, height, wind"),
        (["data.path=table.csv", "data.columns=[when]"], "when holds 'day 0' in row 1, which is no number"),
        (["data.path=table.csv", "data.length=100"], "the table has 160 rows; 200 are needed"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(
    installed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "table.csv")
    assert main(["train", "--domain", "tides", *words]) == 2
    assert message in capsys.readouterr().err


def test_the_source_is_in_the_style_of_the_library(package: Path) -> None:
    command = ["-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), "--ignore", "D1,I", str(package)]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["Tides", "3d", "my-data", "class", "a" * 41, ""])
def test_a_name_that_no_module_can_have(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be the name of a domain"):
        write_domain(name, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_name_that_is_taken_and_a_folder_that_is_in_use(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is a domain 'image' already, in polydiff 0\.1\.0"):
        write_domain("image", tmp_path / "new")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="is not an empty folder"):
        write_domain("ebb", tmp_path / "used")
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["thesis.txt"]
