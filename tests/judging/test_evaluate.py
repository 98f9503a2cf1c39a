"""Tests of `polydiff.judging.evaluate`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_runs import tiny

from polydiff.judging.evaluate import evaluate
from polydiff.metrics.features import Extractor
from polydiff.model.model import Model


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny("image", tmp_path_factory.mktemp("runs") / "image-001")


def test_an_evaluation_says_what_was_judged(finished: Path) -> None:
    result = evaluate(Model.load(finished), 20, steps=3, sampler="heun", guidance=1)
    assert (result["n"], result["evaluations"], result["step"], result["weights"]) == (20, 5, 12, "ema")
    for name, metric in result["metrics"].items():
        errors = {"value_error", "data_error", "noise_error"} if name == "judge_agrees" else set()
        assert metric.keys() == {"value", "data", "noise", "unit", "better", "meaning", "n"} | errors
        assert metric["n"] == 20
    meaning = result["metrics"]["frechet_judge"]["meaning"]
    reason = "it needs 30 images of each set, there are 20."
    assert meaning.endswith(f"Not measured: {reason}")
    json.dumps(result, allow_nan=False)


def test_features_of_ones_own_are_compared_at_the_n_of_the_smallest_set(finished: Path) -> None:
    own = Extractor("brightness", "0", lambda x: x.float().mean((1, 2, 3))[:, None])
    metrics = evaluate(Model.load(finished), 40, steps=2, features=own)["metrics"]
    rows = {name: row for name, row in metrics.items() if name.startswith("feature_")}
    assert [name.removeprefix("feature_") for name in rows] == [
        "fd",
        "kid",
        "precision",
        "recall",
        "density",
        "coverage",
    ]
    for row in rows.values():
        assert row["n"] == 40
        assert (row["data"] < row["noise"]) == (row["better"] == "lower")
