"""Progress of training: what is shown from Python and on the command line, and the time that is left."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from repository import ROOT
from tiny_runs import tiny

from polydiff.cli import main
from polydiff.judging.evaluate import evaluate
from polydiff.model.model import Model
from polydiff.support import progress as support
from polydiff.training.duration import progress
from polydiff.training.duration.progress import Forecast, TrainingProgress, interval
from polydiff.training.loop import Record


def forecast(every: int, evaluated: int = 0, calls: int | None = 20) -> Forecast:
    return Forecast(steps=100, batch_size=10, every=every, shown=16, calls=calls, evaluated=evaluated)


def test_time_left_counts_steps_sets_of_samples_and_the_evaluation() -> None:
    made = forecast(50, evaluated=64)
    made.record(60.0, 0.0, False)  # the first step, with its preparations
    assert made.left(1) is None
    made.record(2.0, 0.0, False)
    for step in range(3, 51):
        made.record(2.0, 8.0 if step == 50 else 0.0, step == 50)
    assert made.left(50) == pytest.approx(50 * 2.0 + (16 + 64) * 8.0 / 16)
    assert made.left(100) == pytest.approx(64 * 8.0 / 16)


def test_samples_are_estimated_from_the_steps_before_any_are_drawn() -> None:
    made = forecast(50, evaluated=64)
    for _ in range(3):
        made.record(3.0, 0.0, False)
    a_call = 3.0 / 3 / 10  # a third of a step, for each of ten examples
    assert made.left(3) == pytest.approx(97 * 3.0 + (2 * 16 + 64) * 20 * a_call)
    assert forecast(0, calls=None).left(3) is None


def test_the_time_after_the_last_step_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with support.showing(True), TrainingProgress(2, 64, "Training x in y") as shown:
        assert capsys.readouterr().err == ""  # training has not begun
        shown.expect(Forecast(2, 10, 0, 16, 20))
        assert capsys.readouterr().err == "Training x in y\n"
        for step in (1, 2):
            assert shown.forecast is not None
            shown.forecast.record(30.0, 0.0, False)
            shown(Record(step, 1.0, 1.0, 1e-3, None, torch.ones(1)), 0.0)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].endswith("  21:20 left for 64 samples to evaluate")


def test_slow_steps_are_shown_in_seconds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(support, "LINE_SECONDS", 0.0)
    with support.showing(True), TrainingProgress(100) as shown:
        shown.expect(forecast(0))
        for step in range(1, 4):
            assert shown.forecast is not None
            shown.forecast.record(20.0, 0.0, False)
            shown(Record(step, 1.0, 1.0, 1e-3, None, torch.ones(1)), 0.0)
    line = capsys.readouterr().err.splitlines()[-1]
    assert "20.0 s/step" in line
    assert "32:20 left" in line  # 97 steps
    assert "0.0 steps/s" not in line


def test_training_from_python_is_quiet_without_a_terminal_and_speaks_if_requested(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny("image", tmp_path / "quiet", **{"train.steps": 3})
    assert capsys.readouterr().err == ""
    tiny("image", tmp_path / "loud", progress=True, **{"train.steps": 3})
    assert "step 3/3" in capsys.readouterr().err


def test_false_silences_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    tiny("image", tmp_path / "quiet", progress=False, **{"train.steps": 3})
    assert capsys.readouterr().err == ""
    tiny("image", tmp_path / "loud", **{"train.steps": 3})
    assert "3/3" in capsys.readouterr().err


def test_evaluation_and_sampling_show_how_far_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(support, "LINE_SECONDS", 0.0)
    model = Model.load(ROOT / "tests" / "golden" / "image" / "step-00000050", device="cpu")
    evaluate(model, 8, steps=3, batch_size=4, progress=True)
    shown = capsys.readouterr().err
    assert "samples drawn: 4 of 8" in shown
    assert "sets judged: 1 of 3" in shown
    model.sample(8, steps=3, batch_size=4, progress=True)
    assert "samples drawn: 4 of 8" in capsys.readouterr().err
    evaluate(model, 8, steps=3, batch_size=4)
    assert capsys.readouterr().err == ""


def test_a_dry_run_says_what_it_does_before_it_does_it(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "--domain", "image", "--dry-run", "train.batch_size=6", "backbone.channels=16"]
    assert main(words) == 0
    shown = capsys.readouterr()
    assert "Preparing a batch of 6 examples" in shown.err
    assert "Taking 6 steps" in shown.err
    assert "Preparing" not in shown.out


def test_a_run_draws_six_sets_of_samples_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SETS", 6)  # as users have it (`cheap`)
    run = tiny("image", tmp_path / "run", **{"sample.steps": 1})
    assert sorted(path.name for path in (run / "samples").glob("step-*")) == [f"step-{n:08d}" for n in range(2, 13, 2)]


@pytest.mark.parametrize(("steps", "every"), [(100, 50), (100, 30), (7, 7), (7, 8), (1, 1), (12, 5)])
def test_the_sets_ahead_are_those_that_training_draws(steps: int, every: int) -> None:
    made = Forecast(steps, 8, every, 16, 4)
    for step in range(steps + 1):
        due = [later for later in range(step + 1, steps + 1) if later == steps or later % every == 0]
        assert made.sets(step) == len(due)


@pytest.mark.parametrize("steps", [1, 5, 7, 25, 31, 100, 1723, 3000, 14_001])
def test_a_run_has_up_to_six_sets_none_just_before_the_last(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SETS", 6)  # as users have it (`cheap`)
    every = interval(0, steps)
    due = [step for step in range(1, steps + 1) if step == steps or step % every == 0]
    assert len(due) == Forecast(steps, 8, every, 16, 4).sets(0) <= 6
    if steps > 50:
        assert len(due) == 6
        assert due[-1] - due[-2] > every / 2
