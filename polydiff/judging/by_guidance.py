"""Evaluation at several guidance weights: the same conditions and the same noise, judged once a weight."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from polydiff.judging.agreement import PairJudge
from polydiff.judging.evaluate import evaluate, further_prompts, judge, to_judge
from polydiff.judging.result import sampling_facts
from polydiff.metrics.features import Extractor
from polydiff.metrics.results import Metric
from polydiff.model.model import Model
from polydiff.model.request import Request
from polydiff.model.sample_section import GUIDED
from polydiff.support.errors import UserError
from polydiff.support.files import json_number
from polydiff.support.progress import showing

CHOICE = {"guidance", "evaluations"}
"""What an evaluation says of its own weight; all else holds for every weight."""


def evaluate_by_guidance(
    model: Model,
    n: int,
    weights: Sequence[float],
    *,
    seed: int = 0,
    features: Extractor | None = None,
    pair: Model | None = None,
    progress: bool | None = None,
    **sampling: Any,
) -> dict[str, Any]:
    """Return the evaluation at the first guidance weight, with the numbers of samples at each weight in "by_guidance".

    Sample i begins from the same noise and has the same conditions at every weight. Real data and noise do not depend
    on the weight and are judged once. Options of guidance apply to all weights but 1, at which there is no guidance.

    Arguments:
        model: What to judge.
        n: Number of samples at each weight.
        weights: Guidance weights, all different.
        seed: Of the samples.
        features: A feature extractor of the user's own.
        pair: A contrastive pair, as in `evaluate`.
        progress: Whether to show progress on stderr; None: on a terminal and in a notebook.
        sampling: As in `polydiff.judging.evaluate.evaluate`, without guidance.

    Raises:
        UserError: There is no weight, or one occurs twice.
    """
    if not weights or len({*weights}) < len(weights):
        raise UserError(f"Guidance weights should all be different, and at least one: {', '.join(map(str, weights))}.")
    requests = [(weight, at_weight(sampling, weight)) for weight in weights]
    for _, how in requests:  # a wrong weight is an error before any sample is drawn
        Request.of(model, {name: value for name, value in how.items() if name != "cond"}, how.get("cond"))
    first = evaluate(model, n, seed=seed, features=features, pair=pair, progress=progress, **requests[0][1])
    rows = [weight_row(first, {name: part(row) for name, row in first["metrics"].items()})]
    facts: dict[str, Any] = {}
    matcher = None if pair is None else PairJudge(model, pair)
    with showing(progress):
        for _, how in requests[1:]:
            found, metrics = samples_at(model, n, seed, features, matcher, how)
            facts |= {name: value for name, value in found.items() if name not in first}
            rows.append(weight_row(found, metrics))
    return {**first, **facts, "by_guidance": rows}


def at_weight(sampling: Mapping[str, Any], weight: float) -> dict[str, Any]:
    """Return the keys of the section `sample` at a weight; those that only matter with guidance are left out at 1."""
    kept = {name: value for name, value in sampling.items() if weight != 1 or name not in GUIDED}
    return {**kept, "guidance": weight}


def weight_row(facts: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of one weight as JSON."""
    return {**{name: facts[name] for name in sorted(CHOICE)}, "metrics": dict(metrics)}


def part(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of samples in one metric of an evaluation."""
    return {name: row[name] for name in ("value", "value_error", "n") if name in row}


def samples_at(
    model: Model, n: int, seed: int, features: Extractor | None, matcher: PairJudge | None, how: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Judge the samples of one weight; return how they were drawn and their metrics, as JSON.

    Arguments:
        model: What to judge.
        n: Number of samples.
        seed: Of the samples.
        features: A feature extractor of the user's own.
        matcher: What judges captions; None: nothing does.
        how: As in `Model.sample`, with cond.
    """
    cond = how.get("cond")
    request = Request.of(model, {name: value for name, value in how.items() if name != "cond"}, cond)
    sets, distances, _ = to_judge(request, n, seed, cond, matcher)
    smallest = min(map(len, sets.values()))
    found = judge(model.domain, {"value": sets["value"]}, distances, features, smallest)["value"]
    found |= matcher(sets["value"]) if matcher else {}
    found |= further_prompts(request, n, seed, cond, ("value",)).get("value", {})
    return sampling_facts(request), {name: numbers(metric) for name, metric in found.items()}


def numbers(metric: Metric) -> dict[str, Any]:
    """Return a metric's value, error and number of samples as JSON."""
    error = {"value_error": metric.error} if math.isfinite(metric.error) else {}
    return {"value": json_number(metric.value), **error, **({"n": metric.n} if metric.n else {})}
