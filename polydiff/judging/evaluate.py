"""Evaluation: a domain's judges on samples, beside real data and noise."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from polydiff.contract.abilities import HasConfusions, HasMeasures, HasPrompts
from polydiff.contract.domain import Domain, Samples
from polydiff.contract.sections import SampleConfig
from polydiff.core.process import Embeds, Reconstructs, written
from polydiff.gallery.draws import Draws, SampleRequest
from polydiff.judging.reconstructions import judge_codec
from polydiff.judging.retrieval import judge_pair
from polydiff.machine.environment import environment
from polydiff.metrics.features import Extractor
from polydiff.metrics.frechet import frechet_distance
from polydiff.metrics.histogram import summary as distribution
from polydiff.metrics.kernel import kernel_distance
from polydiff.metrics.least import too_few, value_unless
from polydiff.metrics.neighbours import overlap_metrics
from polydiff.metrics.results import Metric
from polydiff.metrics.standard_error import Number
from polydiff.model.model import Model
from polydiff.model.prompted import prompted, prompts
from polydiff.model.request import Request
from polydiff.model.restore import Paired, paired
from polydiff.model.sample_section import GUIDED
from polydiff.run.folder import Run
from polydiff.support.errors import UserError, check_whole
from polydiff.support.files import json_number, write_atomic
from polydiff.support.progress import counted, showing
from polydiff.support.protocols import provides

COLUMNS = {"value": "samples", "baseline": "the baseline", "data": "real data", "noise": "noise"}
"""Name of a set of examples -> what messages call it."""
DRAWN = 100
"""Largest number of classes of a confusion matrix in an evaluation."""


def evaluate(
    model: Model,
    n: int,
    *,
    seed: int = 0,
    features: Extractor | None = None,
    progress: bool | None = None,
    **sampling: Any,
) -> dict[str, Any]:
    """Judge n samples and return plain numbers, as `polydiff eval --json` prints them.

    The same judges see n samples, up to n real held-out examples and n draws of noise, so that each number stands
    between what real data and noise get. A model that was trained for restoration, such as upsampling, restores
    degraded held-out examples. It is judged by the distance to the originals, beside a simple baseline.

    Arguments:
        model: What to judge.
        n: Number of samples; for a task at most as many as there are held-out examples.
        seed: Of the samples.
        features: A feature extractor of the user's own, for distances and overlap on its features.
        progress: Whether to show progress on stderr; None: on a terminal and in a notebook.
        sampling: steps, sampler, guidance, batch_size, cond, as in `Model.sample`.
    """
    check_whole("n", n)
    if provides(model.process, Reconstructs):
        check_no_samples(model, features, sampling)
        with showing(progress):
            found = judge_codec(model, n, seed)
        return as_json(model, n, seed, found.sets, found.rows, {"what": "reconstructions"})
    if provides(model.process, Embeds):
        check_no_samples(model, features, sampling)
        rows, real = {"value": judge_pair(model, n)}, model.domain.examples("test", n)
        return as_json(model, n, seed, {"value": real}, rows, {"what": "held-out pairs"})
    cond = sampling.pop("cond", None)
    request = Request.of(model, sampling, cond)
    with showing(progress):
        return judged(request, to_judge(request, n, seed, cond), n, seed, cond, sampling_facts(request), features)


def judged(
    request: SampleRequest,
    found: Paired,
    n: int,
    seed: int,
    cond: Mapping[str, Any] | None,
    how: Mapping[str, Any],
    features: Extractor | None = None,
) -> dict[str, Any]:
    """Return the evaluation of sets of examples as JSON.

    Arguments:
        request: How samples were drawn.
        found: The sets, from `to_judge` or `new_samples`.
        n: Number of samples.
        seed: Random seed.
        cond: Requested conditions.
        how: How samples were drawn, as JSON.
        features: A feature extractor of the user's own.
    """
    sets, distances, baseline = found
    domain = request.model.domain
    rows = judge(domain, sets, distances, features, min(map(len, sets.values())))
    further = further_prompts(request, n, seed, cond)
    rows = {row: {**metrics, **further.get(row, {})} for row, metrics in rows.items()}
    facts = {
        **({"baseline": baseline} if baseline else {}),
        "cond": dict(cond or {}),
        **how,
        **({} if features is None else {"features": features.name}),
    }
    return as_json(request.model, n, seed, sets, rows, facts)


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


def check_no_samples(model: Model, features: Extractor | None, sampling: Mapping[str, Any]) -> None:
    """Raise UserError if an option of samples is set for a run that draws none."""
    names = [name for name, value in sampling.items() if value not in (None, {})]
    names += [] if features is None else ["features"]
    if names:
        raise UserError(
            f"{names[0]} applies to samples, and a run with {written(model.process)} is evaluated on held-out examples."
        )


def to_judge(request: Request, n: int, seed: int, cond: Mapping[str, Any] | None) -> Paired:
    """Return the sets of examples that the judges compare, each under the name of its column.

    Arguments:
        request: How samples are drawn.
        n: Number of samples.
        seed: Random seed.
        cond: Requested conditions of a restoration, as in `Model.sample`; those of new samples are in `request`.
    """
    if request.model.restores:
        return paired(request, n, seed=seed, cond=cond)
    return new_samples(request, n, seed, cond)


def new_samples(request: SampleRequest, n: int, seed: int, cond: Mapping[str, Any] | None) -> Paired:
    """Return new samples beside real examples and noise, for the judges to compare; arguments as of `to_judge`."""
    model = request.model
    split, *_ = [*prompts(request, cond), ""]
    real = model.domain.examples("test", n)
    sets = {
        "value": prompted(request, split, n, seed) if split else request.joined(range(n), seed),
        "data": real,
        "noise": noise_under(request, real, seed) if split == "test" else model.noise(n, seed=seed),
    }
    return Paired(sets, {}, "")


def further_prompts(
    request: SampleRequest, n: int, seed: int, cond: Mapping[str, Any] | None, columns: Sequence[str] = tuple(COLUMNS)
) -> dict[str, dict[str, Metric]]:
    """Return how well examples agree with the conditions of splits other than the first, by column.

    Arguments:
        request: How samples are drawn.
        n: Largest number of examples of each set.
        seed: Of the samples and of noise.
        cond: Requested conditions; with any, samples are not judged under those of a split.
        columns: Names of the sets to judge: "value", "data" or "noise".
    """
    domain = request.model.domain
    rows: dict[str, dict[str, Metric]] = {"value": {}, "data": {}, "noise": {}}
    for split, prefix in list(prompts(request, cond).items())[1:]:
        assert provides(domain, HasPrompts)
        real = domain.examples(split, n)
        sets: dict[str, Callable[[], Samples]] = {
            "value": partial(prompted, request, split, n, seed),
            "data": partial(real.take, range(len(real))),
            "noise": partial(noise_under, request, real, seed),
        }
        for row in rows.keys() & set(columns):
            rows[row] |= {f"{prefix}{name}": metric for name, metric in domain.agreement(sets[row]()).items()}
    return rows


def noise_under(request: SampleRequest, real: Samples, seed: int) -> Samples:
    """Return decoded noise under the conditions of real examples, as many as there are."""
    return Samples(request.model.noise(len(real), seed=seed).examples, real.cond)


def judge(
    domain: Domain,
    sets: Mapping[str, Samples],
    distances: Mapping[str, Mapping[str, Metric]],
    features: Extractor | None,
    smallest: int,
) -> dict[str, dict[str, Metric]]:
    """Return the metrics of each set.

    Arguments:
        domain: Whose judges they are.
        sets: Examples by the name of their column.
        distances: Metrics of each set that are known already.
        features: The user's own feature extractor.
        smallest: Number of examples that are compared on its features, those of the smallest set of the evaluation.
    """
    judged = counted("sets judged", len(sets), sets.items())
    rows = {row: {**distances.get(row, {}), **domain.evaluate(examples)} for row, examples in judged}
    if features is None:
        return rows
    known = features(domain.examples("train", smallest).examples)
    return {row: {**rows[row], **feature_metrics(features, known, of, smallest)} for row, of in sets.items()}


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


def feature_metrics(features: Extractor, known: Tensor, examples: Samples, n: int) -> dict[str, Metric]:
    """Return distances of examples from training examples, and how both overlap, on the user's features.

    Arguments:
        features: The user's own feature extractor.
        known: Features of training examples, at most n, shape (M, D).
        examples: What to compare, of which the first n are used.
        n: Number of examples in the smallest set, so that numbers of all sets can be compared.
    """
    found = features(examples.head(n).examples)
    reasons = {kind: too_few(kind, n, "examples of each set") for kind in ("frechet", "kernel")}
    on = f"{known.shape[1]} features by {features.name} ({features.digest})"
    of = f"of {n} examples to {len(known)} of training on {on}"
    kernel = Number(math.nan) if reasons["kernel"] else kernel_distance(found, known)
    return {
        "feature_fd": Metric(
            value_unless(reasons["frechet"], lambda: frechet_distance(found, known)),
            "",
            "lower",
            f"Frechet distance {of}. Compare it at the same n and features alone; real data show its floor.",
            n=n,
            reason=reasons["frechet"],
        ),
        "feature_kid": Metric(
            kernel.value,
            "",
            "lower",
            f"Kernel distance (KID) {of}. It has no bias on small sets, so that real data are near 0.",
            kernel.error,
            n=n,
            reason=reasons["kernel"],
        ),
        **overlap_metrics(found, known, "examples", on, "feature_"),
    }


def confusions(domain: Domain, sets: Mapping[str, Samples]) -> dict[str, Any]:
    """Return the confusion matrix of each condition, of samples and of real examples, as JSON."""
    if not provides(domain, HasConfusions):
        return {}
    value, data = (domain.confusions(sets[row]) for row in ("value", "data"))
    return {
        name: {"asked": found.requested, "seen": found.seen, "value": found.counts, "data": data[name].counts}
        for name, found in value.items()
        if len(found.requested) <= DRAWN
    }


def measures(domain: Domain, sets: Mapping[str, Samples]) -> dict[str, Any]:
    """Return the domain's measured numbers of samples beside those of data (`metrics.histogram.summary`), if any."""
    if not provides(domain, HasMeasures):
        return {}
    value, data = (domain.measures(sets[row]) for row in ("value", "data"))
    return {"measures": {name: distribution(found, data[name]) for name, found in value.items()}}


def non_default_keys(plan: SampleConfig) -> dict[str, Any]:
    """Return the keys of options, spacing and guidance that differ from their defaults."""
    keys = ["options", "spacing", "spacing_options", *(GUIDED if plan.guidance != 1 else ())]
    chosen, plain = plan.model_dump(mode="json"), SampleConfig().model_dump(mode="json")
    return {key: chosen[key] for key in keys if chosen[key] != plain[key]}


def write_evaluation(run: Path, result: dict[str, Any]) -> Path:
    """Keep an evaluation in the run's folder, where the report finds it."""
    path = Run.open(run).evaluation
    write_atomic(path, json.dumps(result, indent=1) + "\n")
    return path
