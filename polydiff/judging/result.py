"""The result of an evaluation as JSON: what was judged and how, and every metric in each set of examples."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from polydiff.contract.abilities import HasConfusions, HasMeasures
from polydiff.contract.domain import Domain, Samples
from polydiff.contract.sections.sampling import SampleConfig
from polydiff.gallery.draws import Draws
from polydiff.machine.environment import environment
from polydiff.metrics.histogram import summary as distribution
from polydiff.metrics.results import Metric
from polydiff.model.request import Request
from polydiff.model.sample_section import GUIDED
from polydiff.run.folder import ResultsFolder
from polydiff.support.files import json_number, write_atomic
from polydiff.support.protocols import provides

COLUMNS = {"value": "samples", "baseline": "the baseline", "data": "real data", "noise": "noise"}
"""Name of a set of examples -> what messages call it."""
DRAWN = 100
"""Largest number of classes of a confusion matrix in an evaluation."""


def as_json(
    model: Draws,
    n: int,
    seed: int,
    sets: Mapping[str, Samples],
    rows: Mapping[str, Mapping[str, Metric]],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Return an evaluation as JSON.

    Arguments:
        model: What is judged.
        n: Number of examples that was requested.
        seed: Random seed.
        sets: Examples by the name of their column.
        rows: Their metrics by name.
        facts: How they were made.
    """
    return {
        **model.facts,
        "n": len(sets["value"]),
        "n_data": min(n, model.domain.size("test")),
        "seed": seed,
        **facts,
        "environment": environment(str(model.device)),
        "metrics": {name: table_row(name, rows) for name in rows["value"]},
        **({"confusions": confusions(model.domain, sets), **measures(model.domain, sets)} if "data" in sets else {}),
    }


def table_row(name: str, rows: Mapping[str, Mapping[str, Metric]]) -> dict[str, Any]:
    """Return a metric as JSON: its value in each set with its error, its unit, which way is better, its meaning."""
    judged = {row: metrics[name] for row, metrics in rows.items()}
    metric = judged["value"]
    reasons: dict[str, list[str]] = {}
    for row, found in judged.items():
        if found.reason:
            reasons.setdefault(found.reason, []).append(COLUMNS[row])
    missing = "".join(
        f" Not measured{'' if len(of) == len(judged) else f' for {join_words(of)}'}: {reason}."
        for reason, of in reasons.items()
    )
    return {
        **{row: json_number(found.value) for row, found in judged.items()},
        **{f"{row}_error": found.error for row, found in judged.items() if math.isfinite(found.error)},
        "unit": metric.unit,
        "better": metric.better,
        "meaning": metric.meaning + missing,
        **({"n": metric.n} if metric.n else {}),
        **{f"{row}_n": found.n for row, found in judged.items() if found.n != metric.n},
    }


def join_words(words: Sequence[str]) -> str:
    """Return words as an enumeration: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def sampling_facts(request: Request) -> dict[str, Any]:
    """Return how samples were drawn, as JSON."""
    how = request.how
    return {
        "sampler": how.sampler,
        "steps": how.steps,
        "evaluations": request.evaluations(),
        "guidance": how.guidance,
        **non_default_keys(how),
    }


def non_default_keys(plan: SampleConfig) -> dict[str, Any]:
    """Return the keys of options, spacing and guidance that differ from their defaults."""
    keys = ["options", "spacing", "spacing_options", *(GUIDED if plan.guidance != 1 else ())]
    chosen, plain = plan.model_dump(mode="json"), SampleConfig().model_dump(mode="json")
    return {key: chosen[key] for key in keys if chosen[key] != plain[key]}


def confusions(domain: Domain, sets: Mapping[str, Samples]) -> dict[str, Any]:
    """Return the confusion matrix of each condition, of samples and of real examples, as JSON."""
    if not provides(domain, HasConfusions):
        return {}
    value, data = (domain.confusions(sets[row]) for row in ("value", "data"))
    return {
        name: {"requested": found.requested, "seen": found.seen, "value": found.counts, "data": data[name].counts}
        for name, found in value.items()
        if len(found.requested) <= DRAWN
    }


def measures(domain: Domain, sets: Mapping[str, Samples]) -> dict[str, Any]:
    """Return the domain's measured numbers of samples beside those of data (`metrics.histogram.summary`), if any."""
    if not provides(domain, HasMeasures):
        return {}
    value, data = (domain.measures(sets[row]) for row in ("value", "data"))
    return {"measures": {name: distribution(found, data[name]) for name, found in value.items()}}


def write_evaluation(folder: ResultsFolder, result: Mapping[str, Any]) -> None:
    """Keep an evaluation in the folder of a run or a pipeline, where the report finds it."""
    write_atomic(folder.evaluation, json.dumps(result, indent=1) + "\n")
