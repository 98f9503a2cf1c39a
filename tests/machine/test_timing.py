"""Timing by the fastest call."""

from __future__ import annotations

import time

import torch

from polydiff.machine.timing import fastest

CPU = torch.device("cpu")


def test_the_result_is_the_fastest_call() -> None:
    pauses = iter([0.05, 0.02, 0.03])
    calls: list[float] = []

    def work() -> None:
        calls.append(next(pauses))
        time.sleep(calls[-1])

    seconds = fastest(work, CPU, within=0.08)
    assert 0.02 <= seconds < 0.05
    assert calls == [0.05, 0.02, 0.03]


def test_slow_work_is_called_twice() -> None:
    calls: list[int] = []
    fastest(lambda: calls.append(time.sleep(0.01) or 1), CPU, within=0.0)  # type: ignore[func-returns-value]
    assert len(calls) == 2
