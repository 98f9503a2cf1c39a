"""Tests of `polydiff.judging.by_guidance`."""

from __future__ import annotations

import json

import pytest
from tiny_runs import tiny

from polydiff.judging.by_guidance import evaluate_by_guidance
from polydiff.judging.evaluate import evaluate
from polydiff.metrics.features import Extractor
from polydiff.model.model import Model
from polydiff.support.errors import UserError


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.load(tiny("image", tmp_path_factory.mktemp("runs") / "image-001"))


def test_each_row_is_the_evaluation_at_its_weight(model: Model) -> None:
    own = Extractor("brightness", "0", lambda x: x.float().mean((1, 2, 3))[:, None])
    how = {"seed": 3, "features": own, "steps": 2, "sampler": "ddim"}
    apg = {"guidance_method": "apg", "guidance_options": {"eta": 0.5}}
    found = evaluate_by_guidance(model, 32, [1, 2, 4], **how, **apg)
    json.dumps(found, allow_nan=False)
    assert [(row["guidance"], row["evaluations"]) for row in found["by_guidance"]] == [(1, 2), (2, 4), (4, 4)]
    for row, keys in zip(found["by_guidance"], ({}, apg, apg), strict=True):
        alone = evaluate(model, 32, guidance=row["guidance"], **how, **keys)
        assert row["metrics"].keys() == alone["metrics"].keys() == found["metrics"].keys()
        for name, metric in alone["metrics"].items():
            assert row["metrics"][name] == {key: metric[key] for key in row["metrics"][name]}, name
            assert {"value", "n"} <= row["metrics"][name].keys()
    first = evaluate(model, 32, guidance=1, **how)
    assert {key: found[key] for key in first if key != "environment"} == {
        key: value for key, value in first.items() if key != "environment"
    }
    assert (found["guidance_method"], found["guidance_options"]) == ("apg", {"eta": 0.5})  # so it can be repeated


@pytest.mark.parametrize(("weights", "message"), [([], "at least one"), ([2, 2.0], "all be different"), ([1, -1], "0")])
def test_wrong_weights_are_errors_before_a_sample_is_drawn(
    model: Model, monkeypatch: pytest.MonkeyPatch, weights: list[float], message: str
) -> None:
    monkeypatch.setattr("polydiff.judging.by_guidance.evaluate", lambda *_, **__: pytest.fail("drew samples"))
    with pytest.raises(UserError, match=message):
        evaluate_by_guidance(model, 4, weights)
