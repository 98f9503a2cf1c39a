"""The loss by noise level, in the log and on the page, and one batch learned by heart."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polydiff.report.curves import level_curve
from polydiff.run.folder import Run
from polydiff.run.loss_by_level import Gathered, of_record, together
from polydiff.training.trainer import train

TINY = {"backbone.channels": "16", "backbone.blocks": "1", "train.batch_size": "16"}
"""A network for pictures that learns four digits in seconds."""


@given(st.lists(st.tuples(st.floats(1e-3, 1e3), st.floats(0, 10)), min_size=1, max_size=40))
def test_bins_hold_every_example_once(pairs: list[tuple[float, float]]) -> None:
    sigma, losses = (torch.tensor(column, dtype=torch.float64) for column in zip(*pairs, strict=True))
    gathered = Gathered()
    gathered.add(sigma[:3], losses[:3])
    gathered.add(sigma[3:], losses[3:])
    bins = gathered.read()
    assert sum(n for _, n in bins.values()) == len(pairs)
    assert sum(mean * n for mean, n in bins.values()) == pytest.approx(losses.sum().item())
    assert list(map(float, bins)) == sorted(map(float, bins))
    for s in sigma:
        log_snr = -2 * math.log(s)
        assert any(float(start) <= log_snr < float(start) + 2 for start in bins)


def test_readings_together_are_the_mean_of_their_examples() -> None:
    lines = [{"-2": (1.0, 3), "4": (5.0, 1)}, {"-2": (2.0, 1), "0": (math.nan, 7)}]
    assert together(lines) == {-1.0: (1.25, 4), 5.0: (5.0, 1)}


def test_training_logs_the_bins_of_all_examples_since_the_last_line(tmp_path: Path) -> None:
    overrides = {**TINY, "train.steps": 7, "train.log_every": 3, "train.sample_every": 100, "sample.steps": 2}
    run = Run(train("image", tmp_path / "run", overrides=overrides))
    counts = {r["step"]: sum(n for _, n in of_record(r).values()) for r in run.records()}
    assert counts == {1: 16, 3: 32, 6: 48, 7: 16}


def test_the_page_shows_the_last_quarter_of_a_run_darkest() -> None:
    records: list[dict[str, Any]] = [
        {"step": s, "loss": 1.0, "bins": {"-4": [1.0, 5], "2": [1 / s, 5]}} for s in range(1, 9)
    ]
    drawn = level_curve(json.loads(json.dumps(records)))
    assert drawn is not None
    svg = str(drawn.svg)
    assert [f'opacity="{v}"' in svg for v in ("0.25", "0.50", "0.75", "1.00")] == [True] * 4
    paths = [part.split('"')[0] for part in svg.split('class="mean"')[1:] for part in [part.split(' d="')[1]]]
    ends = [float(path.split("L")[-1].split()[1]) for path in paths]
    assert ends == sorted(ends)  # y grows downwards: each quarter's loss at log-SNR 3 is lower than the one before
    assert level_curve([{"step": 1, "loss": 1.0}]) is None
