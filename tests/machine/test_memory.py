"""Peaks of memory: of training against the size of its tensors, and of allocations of known size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from polydiff.checkup import step_profile as module
from polydiff.checkup.dry_run import dry_run
from polydiff.config.merge import resolve
from polydiff.contract.sections import Config
from polydiff.machine.memory import Peak

SMALL = {"backbone.channels": "16", "backbone.blocks": "1", "train.batch_size": "8"}


def small(**more: str) -> Config:
    return resolve("image", words={**SMALL, **more}).config


@pytest.fixture(scope="module", autouse=True)
def no_repeated_timings() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SPEED_SECONDS", 0.0)
        yield


def test_memory_of_training_is_between_its_tensors_and_the_peak_of_the_process() -> None:
    """Weights, moving average, gradient and the two moments of AdamW are five numbers a parameter."""
    report = dry_run(small(**{"backbone.channels": "64"}), steps=2)
    assert 5 * 4 * report["parameters"] / 2**20 <= report["memory of training (MiB)"] < report["peak memory (MiB)"]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux can reset the peak")
def test_a_peak_counts_only_later_work() -> None:
    torch.ones(100, 2**18).sum()  # 100 MiB, freed again
    peak = Peak(torch.device("cpu"))
    x = torch.ones(40, 2**18)
    del x
    assert 35 < peak.risen() < 60
    assert peak.total() > peak.risen()
