"""A budget of time becomes a number of steps once, at the start of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_runs import SMALL_NETS, TINY, assert_same_run, stop_at, tiny

from polydiff.cli import main
from polydiff.config.merge import Settings, resolve
from polydiff.run.checkpoint import Checkpoint, latest
from polydiff.run.folder import Run
from polydiff.support.errors import UserError
from polydiff.support.yaml_text import read_yaml
from polydiff.training import budget
from polydiff.training.budget import seconds_per_step, within_minutes
from polydiff.training.trainer import resume

FEW = {**TINY, **SMALL_NETS["image"], "train.steps": 12}


def settings(**more: Any) -> Settings:
    return resolve("image", values={**FEW, **more})


@pytest.mark.parametrize(
    ("minutes", "seconds", "steps"),
    [(1.0, 10.0, 6), (1.0, 5.0, 12), (1.0, 1.0, 12), (0.01, 10.0, 1)],
)
def test_the_steps_are_those_that_fit_and_never_more_than_set(
    minutes: float, seconds: float, steps: int, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(budget, "seconds_per_step", lambda config, most: seconds)
    found = within_minutes(settings(**{"train.minutes": minutes}))
    assert found.config.train.steps == steps
    assert found.provenance["train.steps"] == f"train.minutes={minutes:g} at {seconds:.3g} s a step"
    assert any(f"so {steps} of 12 steps fit" in str(warning.message) for warning in recwarn) == (steps < 12)


def test_without_a_budget_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(budget, "seconds_per_step")
    chosen = settings()
    assert within_minutes(chosen) is chosen


def test_steps_are_timed_until_the_budget_ends() -> None:
    """At least three are timed, and a budget that is spent at once ends the measurement."""
    assert 0 < seconds_per_step(settings().config, 0.0) < 60


@pytest.mark.filterwarnings("ignore:A training step takes")
def test_a_run_with_a_budget_equals_one_of_its_steps_and_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "seconds_per_step", lambda config, most: 10.0)
    timed = tiny("image", tmp_path / "timed", **{"train.minutes": 1.0})
    assert_same_run(timed, tiny("image", tmp_path / "set", **{"train.steps": 6}))
    assert read_yaml(timed / "config.resolved.yaml")["train"]["steps"] == 6
    with pytest.raises(KeyboardInterrupt):
        tiny("image", tmp_path / "cut", stop_at(3), **{"train.minutes": 1.0})
    monkeypatch.setattr(budget, "seconds_per_step", lambda config, most: 1.0)
    assert_same_run(timed, resume(tmp_path / "cut"))


def test_the_command_line_warns_of_the_steps_that_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "seconds_per_step", lambda config, most: 10.0)
    words = [f"{key}={value}" for key, value in {**FEW, "train.minutes": 0.5}.items()]
    with pytest.warns(UserWarning, match=r"so 3 of 12 steps fit in train\.minutes=0\.5"):
        assert main(["train", "--domain", "image", "-o", str(tmp_path / "run"), *words, "--judge", "0"]) == 0
    assert Checkpoint.load(latest(Run(tmp_path / "run").checkpoints)).step == 3


def test_a_budget_is_above_0() -> None:
    with pytest.raises(UserError, match=r"train\.minutes=0"):
        settings(**{"train.minutes": 0})
