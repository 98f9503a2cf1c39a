"""Tests of `polydiff.judging.evaluate`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_runs import tiny

from polydiff.judging.evaluate import evaluate
from polydiff.model.model import Model


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny("image", tmp_path_factory.mktemp("runs") / "image-001")


def test_an_evaluation_says_what_was_judged(finished: Path) -> None:
    result = evaluate(Model.load(finished), 20, steps=3, sampler="heun", guidance=1)
    assert (result["n"], result["evaluations"], result["step"], result["weights"]) == (20, 5, 12, "ema")
    for metric in result["metrics"].values():
        assert metric.keys() == {"value", "data", "noise", "unit", "better", "meaning"}
    json.dumps(result, allow_nan=False)
