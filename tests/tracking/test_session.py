"""Trackers receive what metrics.jsonl and the samples' files hold; one that fails ends no training."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from fake_plugins import distribution, on_path
from tracking_cases import curves, watched, watched_twice

import polydiff
from polydiff.cli import main
from polydiff.config.merge import resolve
from polydiff.support.errors import UserError
from polydiff.training.checks import check_config

pytestmark = pytest.mark.usefixtures("ring")

NOTES = """
import json
from polydiff.tracking.spec import TrackerSpec

class Notes:
    def __init__(self, run, file, fail=""):
        self.run, self.file, self.fail = run, file, fail
        self.note("begin", run.step, key=run.key, name=run.name, seen=run.seen, width=run.config["backbone.hidden"])

    def note(self, what, step, **more):
        if what == self.fail:
            raise OSError("the pencil breaks") if self.run.config["seed"] == 0 else SystemExit(3)
        with open(self.file, "a") as file:
            file.write(json.dumps({"what": what, "step": step, **more}) + "\\n")

    def scalars(self, step, values):
        self.note("scalars", step, values=dict(values))

    def samples(self, step, name, files):
        self.note("samples", step, name=name, files=[path.name for path in files])

    def close(self):
        self.note("close", -1)

SPEC = TrackerSpec(name="notes", summary="Lines of JSON.", factory=__name__ + ":Notes")
"""


@pytest.fixture(autouse=True)
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a third party's tracker, notes; the file that it writes."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "planted_notes.py").write_text(NOTES)
    distribution(tmp_path / "site", "polydiff-notes", {"polydiff.trackers": {"notes": "planted_notes:SPEC"}})
    on_path(monkeypatch, tmp_path / "site")
    return tmp_path / "notes.jsonl"


def told(file: Path, what: str = "") -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return [line for line in lines if what in ("", line["what"])]


def keys(notes: Path, fail: str = "") -> dict[str, Any]:
    return {"track": ["notes"], "track_options": {"notes": {"file": str(notes), "fail": fail}}}


def test_a_tracker_of_a_third_party_is_told_of_a_run(notes: Path, tmp_path: Path) -> None:
    run = watched(tmp_path / "run", **keys(notes))
    kept = json.loads((run.path / "tracking.json").read_text())["key"]
    assert told(notes)[0] == {"what": "begin", "step": 0, "key": kept, "name": "run", "seen": 0, "width": 16}
    numbers: dict[str, list[tuple[int, float]]] = {}
    for line in told(notes, "scalars"):
        for name, value in line["values"].items():
            numbers.setdefault(name, []).append((line["step"], value))
    assert numbers == curves(run)
    assert [(line["step"], line["name"], len(line["files"])) for line in told(notes, "samples")] == [
        (0, "real", 16),
        (6, "samples", 16),
        (12, "samples", 16),
    ]
    assert [line["what"] for line in told(notes)].count("close") == 1
    assert told(notes)[-1]["what"] == "close"


def test_a_resumed_run_is_the_same_to_a_tracker(notes: Path, tmp_path: Path) -> None:
    watched_twice(tmp_path / "run", **keys(notes))
    first, second = told(notes, "begin")
    assert (second["step"], second["seen"]) == (8, 10)
    assert first["key"] == second["key"]
    assert len(told(notes, "close")) == 2


@pytest.mark.parametrize("seed", [0, 1], ids=["OSError", "SystemExit"])
@pytest.mark.parametrize("fail", ["begin", "scalars", "samples", "close"])
def test_a_tracker_that_fails_warns_once_and_training_goes_on(
    fail: str, seed: int, notes: Path, tmp_path: Path
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = watched(tmp_path / "run", seed=seed, **keys(notes, fail))
    said = [str(one.message) for one in caught if "track=notes" in str(one.message)]
    what = "OSError: the pencil breaks" if seed == 0 else "SystemExit: 3"
    assert said == [f"track=notes failed: {what}. Training continues without it."]
    assert [line["step"] for line in run.records()] == list(range(1, 13))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"track": ["tensorbaord"]}, r"Unknown tracker 'tensorbaord'\. Did you mean 'tensorboard'"),
        ({"track": ["notes"], "track_options": {"notes": {"fle": "a"}}}, r"'fle'\. Did you mean 'file'.*notes\.fle"),
        ({"track_options": {"wandb": {"project": "a"}}}, r"track_options\.wandb has no effect without track=wandb"),
    ],
)
def test_what_is_wrong_with_the_keys_is_said(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_config(resolve("ring", values=values).config)


def test_a_library_that_is_missing_is_named_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = NOTES.replace('summary="Lines of JSON."', 'summary="s", requires=("no_such",), install="pip install it"')
    (tmp_path / "site" / "planted_far.py").write_text(source.replace('name="notes"', 'name="far"'))
    distribution(tmp_path / "site", "far", {"polydiff.trackers": {"far": "planted_far:SPEC"}})
    with pytest.raises(UserError, match=r"tracker 'far' needs no_such, which is not installed. Type: pip install it"):
        polydiff.train("ring", tmp_path / "run", overrides={"track": ["far"]})
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_may_have_other_trackers(notes: Path, tmp_path: Path) -> None:
    run = watched(tmp_path / "run")
    assert not notes.exists()
    few = ["--judge", "0"]
    resumed = ["resume", str(run.path), "train.steps=14", "track=notes", f"track_options.notes.file={notes}", *few]
    assert main(resumed) == 0
    assert [line["step"] for line in told(notes, "scalars")] == [13, 14]
    assert main(["resume", str(run.path), "train.steps=15", *few]) == 0
    assert main(["resume", str(run.path), "train.steps=16", "track=[]", *few]) == 0
    assert [line["step"] for line in told(notes, "scalars")] == [13, 14, 15]


def test_keys_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["track=wandb,notes", "track_options.wandb.project=sounds", "track_options.notes.file=a.txt"]
    assert main(["config", "show", "-d", "ring", *words]) == 0
    out = capsys.readouterr().out
    assert "project: sounds" in out
    assert "file: a.txt" in out
