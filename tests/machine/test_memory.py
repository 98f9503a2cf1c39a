"""Peaks of memory: of training against the size of its tensors, and of allocations of known size."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from profile_cases import small

from polydiff.checkup.dry_run import dry_run
from polydiff.machine.memory import Peak

pytestmark = pytest.mark.usefixtures("no_repeated_timings")


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
