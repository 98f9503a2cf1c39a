"""What `polydiff train` and `resume` print: every message once, in the order of the work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_plugins import polydiff
from PIL import Image

from polydiff.cli import main
from polydiff.cli.train import EVALUATED
from polydiff.training.trainer import resume

NET = ("backbone.channels=16", "backbone.blocks=1", "train.batch_size=4", "sample.steps=2")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two classes with one damaged file and one that is no picture."""
    root = tmp_path_factory.mktemp("pictures")
    for label in ("cat", "dog"):
        (root / label).mkdir()
        for i in range(15):
            Image.new("RGB", (8, 8), (i * 16, 40 if label == "cat" else 200, i)).save(root / label / f"{i}.png")
    (root / "cat" / "torn.png").write_bytes(b"torn")
    (root / "note.txt").write_text("a note")
    return root


def test_each_remark_on_the_data_is_printed_once_a_command(pictures: Path, tmp_path: Path) -> None:
    words = ("train", "--domain", "image", f"data.path={pictures}", "train.steps=2", "--judge", "2", *NET)
    made = polydiff(*words, "-o", "run", cwd=tmp_path)
    judged = polydiff("eval", "run", "-n", "2", cwd=tmp_path)
    checked = polydiff("data", "check", str(pictures), cwd=tmp_path)
    for done in (made, judged, checked):
        assert done.returncode == 0, done.stderr
        text = done.stdout + done.stderr
        for remark in ("  cat/torn.png: ", "1 .txt", "Few examples are held out"):
            assert text.count(remark) == 1, (remark, text)
    assert "31 images found: 30 used, 1 excluded" in made.stderr


def test_training_is_announced_when_it_begins(tmp_path: Path) -> None:
    failed = polydiff("train", "--domain", "image", "data.path=nowhere", "-o", "run", cwd=tmp_path)
    assert failed.returncode == 2
    assert failed.stderr.count("\n") == 1
    assert "Training" not in failed.stderr
    failed = polydiff("train", "--domain", "image", "data.path=nowhere", cwd=tmp_path)
    assert "Training" not in failed.stderr
    assert not list((tmp_path / "runs").glob("*"))


def test_resume_evaluates_as_many_samples_as_training_would_have(here: Path) -> None:
    run = here / "run"
    assert main(["train", "-d", "ring", "-o", str(run), "--judge", "5"]) == 0

    def resumed(*words: str) -> int | None:
        (run / "evaluation.json").unlink(missing_ok=True)
        assert main(["resume", str(run), *words]) == 0
        return json.loads((run / "evaluation.json").read_text())["n"] if (run / "evaluation.json").exists() else None

    assert resumed("train.steps=7") == 5
    assert resumed() == 5  # nothing is left to train
    assert resumed("train.steps=8", "--judge", "0") is None
    assert resumed("train.steps=9") is None
    assert resumed("--judge", "3") == 3
    assert resumed("train.steps=10") == 3
    resume(run, 11)  # from Python, which evaluates nothing
    assert resumed("train.steps=12") == 3
    (run / "after.json").unlink()  # as in runs of before
    assert resumed("train.steps=13") == EVALUATED
    (run / "after.json").write_text('{"evaluated": -1}')
    assert main(["resume", str(run)]) == 2


@pytest.mark.parametrize("words", [("sample", "-n", "1"), ("resume",), ("eval",), ("vary", "0")])
def test_a_run_names_the_package_of_its_domain(
    words: tuple[str, ...], here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "-d", "ring", "-o", "run", "--judge", "0", "train.steps=1"]) == 0
    capsys.readouterr()
    monkeypatch.setattr("polydiff.contract.discover.entry_points", lambda group, name=None: ())  # all is uninstalled
    assert main([words[0], "run", *words[1:]]) == 2
    message = "trained with the domain 'ring' of the package polydiff-ring 1.0, which is not installed"
    assert message in capsys.readouterr().err
