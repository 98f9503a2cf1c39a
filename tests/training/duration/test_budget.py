"""A budget of time becomes a number of steps at the start of a run, and fewer if the machine becomes slower."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_runs import SMALL_NETS, TINY, assert_same_run, stop_at, tiny

from polydiff.cli import main
from polydiff.config.merge import Settings, resolve
from polydiff.contract.discover import build_domain
from polydiff.run.checkpoint import Checkpoint, latest
from polydiff.run.folder import Run
from polydiff.support.errors import UserError
from polydiff.support.progress import showing
from polydiff.support.yaml_text import read_yaml
from polydiff.training import finish, trainer
from polydiff.training.duration import budget, pace, progress
from polydiff.training.duration.budget import Watch, planned, seconds_per_step, within_minutes
from polydiff.training.duration.progress import Forecast
from polydiff.training.trainer import resume, train

FEW = {**TINY, **SMALL_NETS["image"], "train.steps": 12}
QUIET: dict[str, Any] = {"sample.steps": 1, "train.sample_every": 100, "train.batch_size": 64}
"""Samples that take next to no time, by the forecast."""


@pytest.fixture(autouse=True)
def six_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plan as many sets of samples as users get; the runs of other tests draw one (`cheap`)."""
    monkeypatch.setattr(progress, "SETS", 6)


def settings(**more: Any) -> Settings:
    return resolve("image", values={**FEW, **more})


def forecast(steps: int, every: int = 0) -> Forecast:
    return Forecast(steps=steps, batch_size=16, every=every, shown=16, calls=30)


@pytest.mark.parametrize(
    ("minutes", "seconds", "steps"),
    [(1.0, 10.0, 6), (1.0, 5.0, 12), (1.0, 1.0, 12), (0.2, 10.0, 1)],
)
def test_the_steps_are_those_that_fit_and_never_more_than_set(
    minutes: float, seconds: float, steps: int, recwarn: pytest.WarningsRecorder
) -> None:
    found = within_minutes(settings(**{"train.minutes": minutes}), forecast(12), seconds)
    assert found.config.train.steps == steps
    assert found.provenance["train.steps"] == f"train.minutes={minutes:g} at {seconds:.3g} s a step"
    assert any(f"so {steps} of 12 steps fit" in str(warning.message) for warning in recwarn) == (steps < 12)


def test_a_budget_without_a_step_is_an_error_that_says_how_long_one_takes() -> None:
    message = (
        "A training step takes 10 s on this machine, so not one step fits in train.minutes=0.01. "
        "Set train.minutes=2 or more, for 12 steps; leave train.minutes out for all 12."
    )
    with pytest.raises(UserError, match=re.escape(message)):
        within_minutes(settings(**{"train.minutes": 0.01}), forecast(12), 10.0)


@pytest.mark.filterwarnings("ignore:A training step takes")
def test_the_advised_budget_holds_as_many_steps_as_stated() -> None:
    plan = forecast(1000, every=166)
    with pytest.raises(UserError, match="one step and the samples that a run draws") as raised:
        within_minutes(settings(**{"train.minutes": 0.1, "train.steps": 1000}), plan, 10.0)
    found = re.search(r"train.minutes=([\d.]+) or more, for 100 steps", str(raised.value))
    assert found
    advised, less = float(found[1]), 0.9 * float(found[1])
    for minutes, enough in ((advised, True), (less, False)):
        chosen = settings(**{"train.minutes": minutes, "train.steps": 1000})
        assert (within_minutes(chosen, plan, 10.0).config.train.steps >= 100) is enough


def test_a_run_without_a_step_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not one step .* fits in train.minutes=1e-05"):
        train("image", tmp_path / "run", overrides={**FEW, "train.minutes": 1e-5})
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore:A training step takes")
def test_sets_of_samples_count() -> None:
    """A set takes ten steps: 16 samples of 30 calls, a third of a step in 16 each. Six sets: 60 of 120 steps."""
    chosen = settings(**{"train.minutes": 1.0, "train.steps": 1000})
    found = within_minutes(chosen, forecast(1000, every=1000 // 6), 0.5).config.train.steps
    assert planned(forecast(1000, every=166), 0, found).sets(0) in (6, 7)
    assert 50 <= found <= 60
    rare = settings(**{"train.minutes": 1.0, "train.steps": 1000, "train.sample_every": 100})
    assert within_minutes(rare, forecast(1000, every=100), 0.5).config.train.steps == 100


def test_without_a_budget_nothing_is_measured() -> None:
    chosen = settings()
    seconds = seconds_per_step(chosen.config, build_domain(chosen.config))
    assert seconds is None
    assert within_minutes(chosen, forecast(12), seconds) is chosen


@pytest.mark.parametrize(("minutes", "taken"), [(0.1, 2), (1.0, 4)])
def test_a_step_beyond_the_budget_is_timed_once(monkeypatch: pytest.MonkeyPatch, minutes: float, taken: int) -> None:
    """Steps of 20 s; the first does not count."""
    clock = [0.0]

    def records(*_: Any) -> Iterator[None]:
        while True:
            clock[0] += 20
            yield

    monkeypatch.setattr(budget, "records_of", records)
    monkeypatch.setattr(budget, "begin", lambda config, domain: None)
    monkeypatch.setattr(budget, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    config = settings(**{"train.minutes": minutes}).config
    assert seconds_per_step(config, build_domain(config)) == 20
    assert clock[0] == 20 * taken


def test_steps_are_timed_until_the_budget_ends(capsys: pytest.CaptureFixture[str]) -> None:
    """A budget that is spent at once ends the measurement, which is announced where progress is shown."""
    config = settings(**{"train.minutes": 1e-9}).config
    for shown in (False, True):
        with showing(shown):
            assert 0 < (seconds_per_step(config, build_domain(config)) or 0) < 60
        assert ("Timing up to 30 training steps" in capsys.readouterr().err) is shown


class Machine:
    """A machine whose clock stands still but for training steps: each read of the clock in between costs nothing."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now


def trained(watch: Watch, plan: Forecast, seconds: Any) -> tuple[float, list[tuple[int, int]]]:
    """Return the time of a run whose step number n takes `seconds(n)`, and its changes of plan (step, steps)."""
    elapsed, step, changes = 0.0, 0, []
    chosen = settings(**{"train.minutes": watch.minutes, "train.steps": plan.steps})
    while step < plan.steps:
        step, elapsed = step + 1, elapsed + seconds(step)
        lowered = watch.lowered(chosen, plan, step, elapsed)
        if lowered:
            changes.append((step, lowered.config.train.steps))
            plan = planned(plan, watch.sample_every, lowered.config.train.steps)
            assert plan.steps == lowered.config.train.steps > step
        watch.record(seconds(step - 1))
    return elapsed, changes


@pytest.mark.filterwarnings("ignore:After step")
@pytest.mark.parametrize("slower", [1.0, 1.05, 1.5, 3.0, 10.0, 30.0])
@pytest.mark.parametrize("since", [0, 100, 500, 900])
def test_a_run_keeps_its_budget_on_a_machine_that_becomes_slower(slower: float, since: int) -> None:
    """Within a tenth of the budget, or with the least that can be done: the steps that fill the window."""
    watch = Watch(minutes=1.0, sample_every=0)
    elapsed, changes = trained(watch, forecast(1000), lambda n: 0.06 * (slower if n >= since else 1.0))
    assert elapsed <= 66.0 + 0.06 * slower + 1e-6
    assert len(changes) <= 4
    assert [steps for _, steps in changes] == sorted({steps for _, steps in changes}, reverse=True)
    if slower * (1000 - since) + since <= 1100:
        assert not changes
    elif changes:
        assert elapsed >= 45.0  # nor is the budget left unused


def test_a_short_disturbance_costs_no_steps() -> None:
    watch = Watch(minutes=1.0, sample_every=0)
    elapsed, changes = trained(watch, forecast(1000), lambda n: 3.0 if n == 300 else 0.06)
    assert not changes
    assert elapsed < 66.0


def test_a_slow_first_step_does_not_count() -> None:
    watch = Watch(minutes=1.0, sample_every=0)
    watch.record(50.0)
    assert watch.steps(forecast(1000), 1, 50.0) == 1000


def slow_machine(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Any:
    """Let every step take this long by the clock of sessions, and return the progress to pass."""
    machine = Machine()
    monkeypatch.setattr(pace, "monotonic", machine.clock)
    taken = finish.records_of

    def records(*args: Any, **more: Any) -> Any:
        for record in taken(*args, **more):
            machine.now += seconds
            yield record

    monkeypatch.setattr(finish, "records_of", records)


def test_a_run_ends_earlier_on_a_machine_that_becomes_slower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured at 4.5 s a step, all 12 steps fit in a minute; at 12 s, four do, with a set of samples."""
    monkeypatch.setattr(trainer, "seconds_per_step", lambda config, domain: 4.5)
    slow_machine(monkeypatch, 12.0)
    many = {**QUIET, "train.minutes": 1.0, "optim.decay": "linear", "optim.warmup": 0, "optim.lr": 1e-3}
    with pytest.warns(UserWarning, match=r"a training step takes 12 s, so the run ends after \d instead of 12 steps"):
        path = tiny("image", tmp_path / "run", **many)
    found = Checkpoint.load(latest(Run(path).checkpoints))
    assert found.step == found.state["config"]["train"]["steps"] == 4
    assert found.state["provenance"]["train.steps"].startswith("train.minutes=1 at 12 s a step, measured after step")
    assert read_yaml(path / "config.resolved.yaml")["train"]["steps"] == found.step
    rates = [record["lr"] for record in Run(path).records()]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(1e-3 / found.step)  # the last step of a line to 0


@pytest.mark.filterwarnings("ignore:After step")
def test_a_run_with_a_lower_plan_resumes_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan is in the checkpoint of the step at which it was made; whoever resumes needs to measure nothing."""
    monkeypatch.setattr(trainer, "seconds_per_step", lambda config, domain: 4.5)
    slow_machine(monkeypatch, 8.0)
    many = {**QUIET, "train.minutes": 1.0, "optim.decay": "cosine", "train.checkpoint_every": 50}
    whole = tiny("image", tmp_path / "whole", **many)
    lowered = min(step for step in Run(whole).checkpoints.iterdir())
    assert Checkpoint.load(lowered).step < Checkpoint.load(latest(Run(whole).checkpoints)).step < 12
    with pytest.raises(KeyboardInterrupt):
        tiny("image", tmp_path / "cut", stop_at(5), **many)
    assert_same_run(whole, resume(tmp_path / "cut"))


@pytest.mark.filterwarnings("ignore:A training step takes")
def test_a_number_of_steps_at_resume_ends_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "seconds_per_step", lambda config, domain: 18.0)
    path = tiny("image", tmp_path / "run", **{**QUIET, "train.minutes": 1.0})
    assert Checkpoint.load(latest(Run(path).checkpoints)).step == 3
    slow_machine(monkeypatch, 1000.0)
    resume(path, steps=6)
    found = Checkpoint.load(latest(Run(path).checkpoints))
    assert found.step == 6
    assert found.state["config"]["train"]["minutes"] is None


@pytest.mark.filterwarnings("ignore:A training step takes")
def test_a_run_with_a_budget_equals_one_of_its_steps_and_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "seconds_per_step", lambda config, domain: 10.0 if config.train.minutes else None)
    timed = tiny("image", tmp_path / "timed", **QUIET, **{"train.minutes": 1.0})
    assert_same_run(timed, tiny("image", tmp_path / "set", **{**QUIET, "train.steps": 5}))
    assert read_yaml(timed / "config.resolved.yaml")["train"]["steps"] == 5
    with pytest.raises(KeyboardInterrupt):
        tiny("image", tmp_path / "cut", stop_at(3), **QUIET, **{"train.minutes": 1.0})
    monkeypatch.delattr(trainer, "seconds_per_step")
    assert_same_run(timed, resume(tmp_path / "cut"))


def test_the_domain_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Any] = []

    def counted(config: Any, statistics: Any = None, stages: Any = None) -> Any:
        built.append(config)
        return build_domain(config, statistics)

    monkeypatch.setattr(trainer, "open_domain", counted)
    tiny("image", tmp_path / "run", **{"train.minutes": 100.0, "train.steps": 2})
    assert len(built) == 1


def test_the_command_line_warns_of_the_steps_that_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "seconds_per_step", lambda config, domain: 10.0)
    words = [f"{key}={value}" for key, value in {**FEW, **QUIET, "train.minutes": 0.6}.items()]
    with pytest.warns(UserWarning, match=r"so 3 of 12 steps fit in train\.minutes=0\.6"):
        assert main(["train", "--domain", "image", "-o", str(tmp_path / "run"), *words, "--judge", "0"]) == 0
    assert Checkpoint.load(latest(Run(tmp_path / "run").checkpoints)).step == 3


@pytest.mark.parametrize("minutes", [0, -1, math.inf, math.nan])
def test_a_budget_is_above_0_and_finite(minutes: float) -> None:
    with pytest.raises(UserError, match=r"train\.minutes="):
        settings(**{"train.minutes": minutes})
