"""Evaluation: a domain's judges on samples, beside real data and noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor

from polydiff.contract.abilities import HasPrompts
from polydiff.contract.domain import Domain, Samples
from polydiff.core.process.abilities import Embeds, Reconstructs
from polydiff.core.process.process import written
from polydiff.gallery.draws import SampleRequest
from polydiff.judging.agreement import PairJudge, agreement
from polydiff.judging.reconstructions import judge_codec
from polydiff.judging.result import COLUMNS, as_json, sampling_facts
from polydiff.judging.retrieval import judge_pair
from polydiff.machine.processes.dealing import by_first, dealt
from polydiff.metrics.features import Extractor
from polydiff.metrics.frechet import frechet_distance
from polydiff.metrics.kernel import kernel_distance
from polydiff.metrics.least import too_few, value_unless
from polydiff.metrics.neighbours import overlap_metrics
from polydiff.metrics.results import Metric
from polydiff.metrics.standard_error import Number
from polydiff.model.model import Model
from polydiff.model.prompted import prompted, prompts
from polydiff.model.request import Request
from polydiff.model.restore import Paired, paired
from polydiff.support.errors import UserError, check_whole
from polydiff.support.progress import counted, showing
from polydiff.support.protocols import provides


def evaluate(
    model: Model,
    n: int,
    *,
    seed: int = 0,
    features: Extractor | None = None,
    pair: Model | None = None,
    progress: bool | None = None,
    **sampling: Any,
) -> dict[str, Any]:
    """Judge n samples and return plain numbers, as `polydiff eval --json` prints them.

    The same judges see n samples, up to n real held-out examples and n draws of noise, so that each number stands
    between what real data and noise get. A model that was trained for restoration, such as upsampling, restores
    degraded held-out examples. It is judged by the distance to the originals, beside a simple baseline. Processes that
    are joined (`polydiff.machine.ranks.joined`) all call it, share the work, and get the same numbers.

    Arguments:
        model: What to judge.
        n: Number of samples; for a task at most as many as there are held-out examples.
        seed: Of the samples.
        features: A feature extractor of the user's own, for distances and overlap on its features.
        pair: A contrastive pair (learn=match), for the agreement of examples with their captions. Samples then have
            the conditions of held-out examples, and are at most as many as these.
        progress: Whether to show progress on stderr; None: on a terminal and in a notebook.
        sampling: steps, sampler, guidance, batch_size, cond, as in `Model.sample`.
    """
    check_whole("n", n)
    if provides(model.process, Embeds):
        check_no_samples(model, {**sampling, "features": features, "pair": pair})
        rows, real = {"value": judge_pair(model, n)}, model.domain.examples("test", n)
        return by_first(lambda: as_json(model, n, seed, {"value": real}, rows, {"what": "held-out pairs"}))
    matcher = None if pair is None else PairJudge(model, pair)
    judged_by = {"pair": {"step": pair.step, "weights": pair.weights}} if pair else {}
    if provides(model.process, Reconstructs):
        check_no_samples(model, {**sampling, "features": features})
        with showing(progress):
            found = judge_codec(model, n, seed)
        rows = merged(found.rows, agreement(matcher, found.sets))
        facts = {"what": "reconstructions", **judged_by}
        return by_first(lambda: as_json(model, n, seed, found.sets, rows, facts))
    cond = sampling.pop("cond", None)
    request = Request.of(model, sampling, cond)
    with showing(progress):
        return judged(
            request,
            to_judge(request, n, seed, cond, matcher),
            n,
            seed,
            cond,
            {**sampling_facts(request), **judged_by},
            features,
            matcher,
        )


def judged(
    request: SampleRequest,
    found: Paired,
    n: int,
    seed: int,
    cond: Mapping[str, Any] | None,
    how: Mapping[str, Any],
    features: Extractor | None = None,
    matcher: PairJudge | None = None,
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
        matcher: What judges the captions of samples; None: nothing does.
    """
    sets, distances, baseline = found
    rows = judge(request.model.domain, sets, distances, features, min(map(len, sets.values())))
    rows = merged(rows, further_prompts(request, n, seed, cond))
    rows = merged(rows, agreement(matcher, sets))
    facts = {
        **({"baseline": baseline} if baseline else {}),
        "cond": dict(cond or {}),
        **how,
        **({} if features is None else {"features": features.name}),
    }
    return by_first(lambda: as_json(request.model, n, seed, sets, rows, facts))


def merged(
    rows: Mapping[str, Mapping[str, Metric]], further: Mapping[str, Mapping[str, Metric]]
) -> dict[str, dict[str, Metric]]:
    """Return the metrics of each set of examples with further ones."""
    return {row: {**found, **further.get(row, {})} for row, found in rows.items()}


def check_no_samples(model: Model, options: Mapping[str, Any]) -> None:
    """Raise UserError if an option of samples is set for a run that draws none."""
    names = [name for name, value in options.items() if value not in (None, {})]
    if names:
        raise UserError(
            f"{names[0]} applies to samples, and a run with {written(model.process)} is evaluated on held-out examples."
        )


def to_judge(
    request: Request, n: int, seed: int, cond: Mapping[str, Any] | None, matcher: PairJudge | None = None
) -> Paired:
    """Return the sets of examples that the judges compare, each under the name of its column.

    Arguments:
        request: How samples are drawn.
        n: Number of samples.
        seed: Random seed.
        cond: Requested conditions of a restoration, as in `Model.sample`; those of new samples are in `request`.
        matcher: What judges their captions, which are then those of held-out examples; None: nothing does.

    Raises:
        UserError: The captions of held-out examples are to be judged, and other conditions are requested.
    """
    if request.model.restores:
        return paired(request, n, seed=seed, cond=cond)
    return new_samples(request, n, seed, cond, matcher)


def new_samples(
    request: SampleRequest, n: int, seed: int, cond: Mapping[str, Any] | None, matcher: PairJudge | None = None
) -> Paired:
    """Return new samples beside real examples and noise, for the judges to compare; arguments as of `to_judge`."""
    model = request.model
    if matcher and cond:
        wanted = ", ".join(cond)
        raise UserError(
            f"A pair judges samples under the captions of held-out examples. Leave out the condition {wanted}."
        )
    split, *_ = [*prompts(request, cond), "test" if matcher else ""]
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
        for row in filter(columns.__contains__, rows):
            agreed = by_first(partial(domain.agreement, sets[row]()))
            rows[row] |= {f"{prefix}{name}": metric for name, metric in agreed.items()}
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

    def metrics(row: str) -> dict[str, Metric]:
        return {**distances.get(row, {}), **domain.evaluate(sets[row])}

    judged = counted("sets judged", len(sets), dealt(list(sets), metrics))
    rows = dict(zip(sets, judged, strict=True))
    if features is None:
        return rows
    known = by_first(lambda: features(domain.examples("train", smallest).examples))
    of = dealt(list(sets), lambda row: feature_metrics(features, known, sets[row], smallest))
    return {row: {**rows[row], **found} for row, found in zip(sets, of, strict=True)}


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
            f"Frechet distance {of}, the first ones. Compare it at equal n and features; real data show its floor.",
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
