"""A busy machine is noticed by a measurement, which changes no number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny_runs import tiny

from polydiff.checkup.doctor import threads
from polydiff.machine import contention
from polydiff.training import trainer


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class Cores:
    """A clock by which each read on several threads takes `slow` times as long as on one."""

    def __init__(self, slow: float) -> None:
        self.slow, self.now = slow, 0.0

    def __call__(self) -> float:
        self.now += 0.01 * (self.slow if torch.get_num_threads() > 1 else 1.0)
        return self.now


@pytest.mark.parametrize(("slow", "spoken"), [(0.5, False), (1.0, False), (2.0, True), (30.0, True)])
def test_the_advice_comes_if_several_threads_are_slower(slow: float, spoken: bool) -> None:
    text = contention.advice(Cores(slow))
    assert bool(text) == spoken
    assert ("on 2 threads as on one" in text and "OMP_NUM_THREADS=1" in text) == spoken
    assert torch.get_num_threads() == 2


def test_the_ratio_is_that_of_the_times() -> None:
    """Reads of the clock and calls alternate, so each call takes one or two reads."""
    assert 5 <= contention.several_against_one(2, Cores(10.0)) <= 20


def test_one_thread_needs_no_measurement() -> None:
    torch.set_num_threads(1)
    assert contention.advice(lambda: pytest.fail("measured")) == ""  # type: ignore[arg-type, return-value]


def test_the_number_of_threads_survives_an_error() -> None:
    def broken() -> float:
        raise OSError("no clock")

    with pytest.raises(OSError, match="no clock"):
        contention.advice(broken)
    assert torch.get_num_threads() == 2


def test_doctor_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contention, "advice", lambda: "busy")
    assert threads() == ("threads", "note", "busy")
    monkeypatch.setattr(contention, "advice", lambda: "")
    assert threads().status == "ok"


def test_long_trainings_say_it_and_short_ones_measure_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(contention, "advice", lambda: "busy")
    tiny("image", tmp_path / "short", **{"train.steps": 2})
    assert "busy" not in [str(warning.message) for warning in recwarn]
    monkeypatch.setattr(trainer, "LONG", 1)
    with pytest.warns(UserWarning, match="busy"):
        tiny("image", tmp_path / "long", **{"train.steps": 2})
    with pytest.warns(UserWarning, match="busy"):
        trainer.resume(tmp_path / "long", steps=4)
