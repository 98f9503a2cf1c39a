"""The quick preset keeps what it promises, from training to the judge. Minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

import polydiff


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_quick_digits_have_the_requested_class_and_are_near_the_data(tmp_path: Path) -> None:
    model = polydiff.load(polydiff.train("image", tmp_path / "run"))
    result = polydiff.evaluate(model, n=1000)
    metrics = result["metrics"]
    assert result["evaluations"] <= 50
    assert metrics["judge_agrees"]["value"] > 0.95
    # a random draw of as many training images lies 0.7 to 2.1 from all of them
    assert metrics["frechet_judge"]["value"] < 3
    assert metrics["frechet_judge"]["value"] < 0.03 * metrics["frechet_judge"]["noise"]
    assert metrics["coverage"]["value"] > 0.9
    assert metrics["copies"]["value"] < 0.05
