"""A package of someone else's: built by pip, found, checked, trained, sampled and judged; and one that is broken."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fake_plugins import DOMAINS, distribution
from repository import ROOT

import polydiff

POINTS = ROOT / "examples" / "points"
OPEN = {"polydiff.contract.sections", "polydiff.core.conditions", "polydiff.backbones.config"}
"""Modules that a plugin may import beside the names of polydiff itself."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the example, built from a copy, with nothing fetched."""
    root = tmp_path_factory.mktemp("third-party")
    source = shutil.copytree(
        POINTS, root / "points", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    )
    flags = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *flags, "--target", str(root / "site"), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return root / "site"


def run(site: Path, folder: Path, *words: str, code: int = 0) -> str:
    """Run polydiff in a process of its own, in a folder, and return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(site), "COLUMNS": "200"}
    command = [sys.executable, "-m", "polydiff", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def line(text: str, word: str) -> str:
    """The line that begins with a word."""
    return next(line for line in text.splitlines() if line.split()[:1] == [word])


def test_it_is_listed_beside_the_others(site: Path, tmp_path: Path) -> None:
    listed = run(site, tmp_path, "domains", "list")
    assert line(listed, "points").split()[:4] == ["points", "ready", "polydiff-points", "0.1.0"]
    assert line(listed, "image").split()[1] == "ready"


def test_it_keeps_the_promises_of_a_domain(site: Path, tmp_path: Path) -> None:
    found = run(site, tmp_path, "domains", "check", "points")
    assert line(found, "judges").split()[1] == "ok"
    assert line(found, "training").split()[1] == "ok"
    assert "broken" not in found


def test_it_is_trained_sampled_and_judged(site: Path, tmp_path: Path) -> None:
    words = ["train.steps=20", "train.batch_size=32", "sample.steps=5", "--judge", "0", "-o", "run"]
    run(site, tmp_path, "train", "--domain", "points", *words)
    assert "<svg" in (tmp_path / "run" / "report.html").read_text()

    run(site, tmp_path, "sample", "run", "-n", "4", "--cond", "arm=1", "-o", "drawn")
    manifest = json.loads((tmp_path / "drawn" / "manifest.json").read_text())
    assert [entry["cond"] for entry in manifest["samples"]] == [{"arm": "1"}] * 4
    points = [json.loads((tmp_path / "drawn" / entry["file"]).read_text()) for entry in manifest["samples"]]
    assert [len(point) for point in points] == [2] * 4

    result = json.loads(run(site, tmp_path, "eval", "run", "-n", "300", "--json"))
    on_arm = result["metrics"]["on_arm"]
    assert on_arm["noise"] < 0.3
    assert on_arm["data"] > 0.95


def test_a_misspelt_key_gets_a_message_with_the_right_one_and_no_traceback(site: Path, tmp_path: Path) -> None:
    output = run(site, tmp_path, "train", "--domain", "points", "data.arns=4", code=2)
    assert "data.arms" in output
    assert "Traceback" not in output


def test_a_broken_plugin_is_shown_as_broken_and_harms_nothing_else(site: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(site, tmp_path / "site")
    (broken / "polydiff_broken.py").write_text("raise ImportError('no module named flux_capacitor')\n")
    distribution(broken, "polydiff-broken", {DOMAINS: {"wreck": "polydiff_broken:SPEC"}})

    listed = run(broken, tmp_path, "domains", "list")
    assert line(listed, "wreck").split()[:2] == ["wreck", "broken"]
    assert "flux_capacitor" in listed
    for name in ("points", "image"):
        assert line(listed, name).split()[1] == "ready"
    output = run(broken, tmp_path, "train", "--domain", "wreck", code=2)
    assert "'wreck' of polydiff-broken 1.0 is broken" in output
    assert "Traceback" not in output
    assert "domain: points" in run(broken, tmp_path, "config", "show", "--domain", "points")


def test_it_is_short_and_uses_what_is_public() -> None:
    sources = sorted(POINTS.rglob("polydiff_points/*.py"))
    assert sum(len(path.read_text().splitlines()) for path in sources) < 150
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("polydiff."):
                assert node.module in OPEN, f"{path.name} imports from {node.module}"
            elif isinstance(node, ast.ImportFrom) and node.module == "polydiff":
                assert {alias.name for alias in node.names} <= set(polydiff.__all__), path.name
