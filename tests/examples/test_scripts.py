"""The examples run: the core alone learns its ring; the domains' scripts do on fewer steps."""

from __future__ import annotations

import io
import re
import runpy
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from repository import ROOT

EXAMPLES = ROOT / "examples"
SMALL = {
    "image": ["backbone.channels=16", "backbone.blocks=1"],
    "audio": ["backbone.channels=16", "backbone.blocks=1"],
    "molecule": ["backbone.hidden=16", "backbone.layers=1", "data.max_heavy=3"],
}
TASKS = {
    "audio_inpaint": ("runs/example-inpaint", "inpainted"),
    "audio_upsample": ("runs/example-upsample", "upsampled"),
    "audio_vary": ("runs/example-vary", "varied"),
    "audio_vocode": ("runs/example-vocode", "vocoded"),
}
"""Scripts of tasks for sounds: the run that each trains, and where in it the sounds go."""


def run(name: str, folder: Path, *words: str) -> str:
    """Run an example in a folder, as the program of this process, and return what it prints."""
    path = str(EXAMPLES / f"{name}.py")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
        patch.chdir(folder)
        patch.setattr(sys, "argv", [path, *words])
        runpy.run_path(path, run_name="__main__")
    return printed.getvalue()


def run_alone(name: str, folder: Path, *words: str) -> str:
    """Run an example in a folder as a user does, in a process of its own, and return what it prints."""
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_core_alone_learns_a_ring(tmp_path: Path) -> None:
    printed = run("core_only", tmp_path)
    found = re.search(r"radius ([\d.]+) \+- ([\d.]+)", printed)
    assert found, printed
    assert abs(float(found[1]) - 1) < 0.05
    assert float(found[2]) < 0.15


def test_points_and_labels_are_learned_together(tmp_path: Path) -> None:
    printed = run("labelled_points", tmp_path)
    shares = re.search(r"labels \[([\d., ]+)\]", printed)
    apart = re.search(r"of their label ([\d.]+)", printed)
    mean = re.search(r"label 2: mean \[([-\d., ]+)\]", printed)
    assert shares
    assert apart
    assert mean
    assert [float(s) for s in shares[1].split(", ")] == pytest.approx([0.5, 0.3, 0.2], abs=0.05)
    assert float(apart[1]) == pytest.approx(0.313, abs=0.1)
    assert [float(m) for m in mean[1].split(", ")] == pytest.approx([0.0, 1.4], abs=0.1)


@pytest.mark.parametrize("name", SMALL)
def test_the_script_of_a_domain_runs(name: str, tmp_path: Path) -> None:
    start = run_alone if name == "image" else run
    printed = start(name, tmp_path, "train.steps=4", "train.batch_size=8", "sample.steps=3", *SMALL[name])
    report = tmp_path / "runs" / f"example-{name}" / "report.html"
    assert str(report.relative_to(tmp_path)) in printed
    assert report.is_file()


def test_the_script_that_judges_synthetic_data_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polydiff.domains.image.metrics.learned.STEPS", 3)
    printed = run("augment", tmp_path, "train.steps=4", "train.batch_size=8", "sample.steps=3", *SMALL["image"])
    assert re.search(r"real \+ synthetic, augmented: 0\.\d+ ± 0\.\d+", printed), printed
    assert (tmp_path / "runs" / "example-augment" / "more" / "manifest.json").is_file()


@pytest.mark.parametrize("name", TASKS)
def test_the_script_of_a_task_runs_by_training_and_with_a_run(name: str, tmp_path: Path) -> None:
    few = ["train.steps=2", "train.batch_size=4", "sample.steps=3", "data.n_train=64", "data.n_test=16"]
    folder, made = TASKS[name]
    assert f"{folder}/{made}" in run(name, tmp_path, *few, *SMALL["audio"])
    files = sorted(path.relative_to(tmp_path) for path in (tmp_path / folder / made).rglob("*.wav"))
    assert files
    (tmp_path / folder / made).rename(tmp_path / "before")
    run(name, tmp_path, folder)
    assert sorted(path.relative_to(tmp_path) for path in (tmp_path / folder / made).rglob("*.wav")) == files


def test_the_script_of_fragments_runs_by_training_and_with_a_run(tmp_path: Path) -> None:
    few = ["train.steps=2", "train.batch_size=4", "sample.steps=2", *SMALL["molecule"]]
    folder = "runs/example-molecule-inpaint"
    assert f"{folder}/inpainted" in run("molecule_inpaint", tmp_path, *few)
    assert "no molecule" not in run("molecule_inpaint", tmp_path, folder).splitlines()[0]
    made = {name: len(list((tmp_path / folder / "inpainted" / name).glob("*.sdf"))) for name in ("given", "longer")}
    assert made["given"] == made["longer"] > 0


def test_the_script_of_a_look_runs_by_training_and_with_a_run(tmp_path: Path) -> None:
    printed = run("look", tmp_path, "train.steps=2", "train.batch_size=4", "sample.steps=2", *SMALL["image"])
    page = tmp_path / "runs" / "example-look" / "look.html"
    assert printed.splitlines()[-1] == str(page.relative_to(tmp_path))
    assert "label is read best from" in printed
    assert page.stat().st_size > 100_000


def test_every_script_is_tested() -> None:
    elsewhere = {
        "augment",
        "binary_pixels",
        "core_only",
        "fading_pixels",
        "labelled_points",
        "look",
        "molecule_inpaint",
        "moons",
    }
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*SMALL, *TASKS, *elsewhere}
