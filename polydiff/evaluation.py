"""Evaluation: a domain's judges on samples, beside real data and noise; and the likelihood of test data."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polydiff.abilities import HasConfusions, HasMeasures, HasUnits, Units
from polydiff.checks import GUIDED, tells_variance
from polydiff.condition_batch import withhold
from polydiff.config import SampleConfig
from polydiff.distributions import summary as distribution
from polydiff.domain import Domain, Metric, Samples
from polydiff.environment import environment
from polydiff.errors import UserError, check_whole, unknown
from polydiff.extractor import Extractor
from polydiff.files import write_atomic
from polydiff.frechet import frechet_distance
from polydiff.likelihood import Estimate, chain, continuous_vlb, decoder_level, discrete_vlb, flow_bound
from polydiff.likelihood.vlb import Variance
from polydiff.model import Model
from polydiff.ode import IntegrationError
from polydiff.random import streams
from polydiff.restoring import is_told, paired
from polydiff.run import Run
from polydiff.schedule.discrete import Table
from polydiff.space import Batch
from polydiff.tasks import KNOWN

DRAWN = 100
"""Most classes of which it is told which are taken for which."""


def evaluate(
    model: Model, n: int, *, seed: int = 0, features: Extractor | None = None, **sampling: Any
) -> dict[str, Any]:
    """Judge n samples and return plain numbers, as `polydiff eval --json` prints them.

    The same judges see n samples, up to n real held-out examples and n draws of noise, so that each number stands
    between what real data and noise get. A model that was trained for a task, such as upsampling, makes held-out
    examples of what it is told of them, and is judged by their distance to these, beside what a simple method makes.

    Arguments:
        model: What to judge.
        n: Number of samples; for a task at most as many as there are held-out examples.
        seed: Of the samples.
        features: A feature extractor of the user's own, for a Frechet distance on it.
        sampling: steps, sampler, guidance, batch_size, cond, as in `Model.sample`.
    """
    check_whole("n", n)
    cond = sampling.pop("cond", None)
    plan = model.plan(**sampling)
    told = paired(model, n, seed=seed, cond=cond, **sampling) if is_told(model) else None
    sets = (
        told.sets
        if told
        else {
            "value": model.sample(n, seed=seed, cond=cond, **sampling),
            "data": model.domain.examples("test", n),
            "noise": model.noise(n, seed=seed),
        }
    )
    distances = told.metrics if told else {}
    rows = {row: {**distances.get(row, {}), **model.domain.evaluate(examples)} for row, examples in sets.items()}
    for row, metric in ({} if features is None else feature_metrics(features, model.domain, sets)).items():
        rows[row] = {**rows[row], "feature_fd": metric}
    metrics = {
        name: {
            **{row: finite(judged[name].value) for row, judged in rows.items()},
            **{f"{row}_error": e for row, judged in rows.items() if math.isfinite(e := judged[name].error)},
            "unit": metric.unit,
            "better": metric.better,
            "meaning": metric.meaning,
        }
        for name, metric in rows["value"].items()
    }
    return {
        "domain": model.config.domain,
        "step": model.step,
        "weights": model.weights,
        "n": len(sets["value"]),
        "n_data": min(n, model.domain.size("test")),
        **({"baseline": told.baseline} if told else {}),
        "seed": seed,
        "cond": dict(cond or {}),
        "sampler": plan.sampler,
        "steps": plan.steps,
        "evaluations": model.evaluations(plan),
        "guidance": plan.guidance,
        **further_told(plan),
        **({} if features is None else {"features": features.name}),
        "environment": environment(str(model.device)),
        "metrics": metrics,
        "confusions": confusions(model.domain, sets),
        **measures(model.domain, sets),
    }


def feature_metrics(features: Extractor, domain: Domain, sets: Mapping[str, Samples]) -> dict[str, Metric]:
    """Return the Frechet distance of each set to training examples, all of as many as there are in the smallest set."""
    n = min(map(len, sets.values()))
    known = features(domain.examples("train", n).examples)
    meaning = (
        f"Frechet distance of {n} examples to {len(known)} of training on {known.shape[1]} features by {features.name} "
        f"({features.digest}). Compare it at the same n and features alone; the column of real data is its floor."
    )
    return {
        row: Metric(frechet_distance(features(examples.head(n).examples), known), "", "lower", meaning)
        for row, examples in sets.items()
    }


def confusions(domain: Domain, sets: Mapping[str, Samples]) -> dict[str, Any]:
    """Return, by condition, what was asked of samples and of real examples and what judges take them for, as JSON."""
    if not isinstance(domain, HasConfusions):
        return {}
    value, data = (domain.confusions(sets[row]) for row in ("value", "data"))
    return {
        name: {"asked": found.asked, "seen": found.seen, "value": found.counts, "data": data[name].counts}
        for name, found in value.items()
        if len(found.asked) <= DRAWN
    }


def measures(domain: Domain, sets: Mapping[str, Samples]) -> dict[str, Any]:
    """Return real numbers of samples beside those of data, as `polydiff.distributions.summary` does, where told."""
    if not isinstance(domain, HasMeasures):
        return {}
    value, data = (domain.measures(sets[row]) for row in ("value", "data"))
    return {"measures": {name: distribution(found, data[name]) for name, found in value.items()}}


def further_told(plan: SampleConfig) -> dict[str, Any]:
    """Return the keys of options, spacing and guidance, where there is any, that are not the default ones."""
    keys = ["options", "spacing", "spacing_options", *(GUIDED if plan.guidance != 1 else ())]
    said, plain = plan.model_dump(mode="json"), SampleConfig().model_dump(mode="json")
    return {key: said[key] for key in keys if said[key] != plain[key]}


def finite(value: float) -> float | None:
    """Return a number that JSON can hold: None for one that has no meaning."""
    return float(value) if math.isfinite(value) else None


def write_evaluation(run: Path, result: dict[str, Any]) -> Path:
    """Keep an evaluation in the run's folder, where the report finds it."""
    path = Run.open(run).evaluation
    write_atomic(path, json.dumps(result, indent=1) + "\n")
    return path


LIKELIHOODS: dict[str, str] = {
    "vlb": "variational bound in continuous time: what training minimises, weighted as likelihood asks",
    "chain": "variational bound of ancestral sampling through the levels of the schedule's table, or else 1000, the "
    "variance learned where the network tells it",
    "flow": "bound by the probability-flow ODE, which deterministic samplers follow",
}
"""Name of a bound on -log p -> what it is."""
CHAIN = 1000
"""Levels of the chain, of a schedule that is no table of its own."""


def likelihood(
    model: Model, n: int, kinds: Sequence[str] = ("vlb",), *, seed: int = 0, draws: int = 32, batch_size: int = 64
) -> dict[str, Any]:
    """Bound -log p of up to n test examples, given their conditions, and return plain numbers for JSON.

    Nats are those of a whole example, in the data's units (`polydiff.abilities.Units`): the mean over the examples,
    with its standard error, which holds what the bounds' own draws add. A dimension is one of the space.

    Arguments:
        model: What to judge.
        n: Number of test examples, spread over all.
        kinds: Names of bounds (`LIKELIHOODS`).
        seed: Of the draws.
        draws: Noise levels drawn for each example, of "vlb" and "chain".
        batch_size: Examples at a time; it changes what a network computes by rounding alone.
    """
    for name, number in {"n": n, "draws": draws, "batch_size": batch_size}.items():
        check_whole(name, number)
    total = model.domain.size("test")
    n = min(n, total)
    parts = [range(first, min(first + batch_size, n)) for first in range(0, n, batch_size)]
    batches = [held_out(model, [i * total // n for i in part]) for part in parts]
    lowest = decoder_level([units for _, units in batches], model.denoiser.schedule)
    dims = torch.cat([batch.space.dim.double().cpu() for batch, _ in batches])
    found = {}
    for kind in kinds:
        pairs = zip(batches, parts, strict=True)
        bounds = [bound(model, kind, batch, units, seed, part, draws, lowest) for (batch, units), part in pairs]
        found[kind] = summary(bounds, dims, all(discrete(units) for _, units in batches))
    return {
        "domain": model.config.domain,
        "step": model.step,
        "weights": model.weights,
        "n": n,
        "n_test": total,
        "seed": seed,
        "dimensions": dims.mean().item(),
        "lowest_noise_level": lowest,
        "unit": next((units.name for _, units in batches if units is not None), "state"),
        "likelihood": found,
    }


def held_out(model: Model, indices: Sequence[int]) -> tuple[Batch, Units | None]:
    """Return test examples on the model's device, no part of them known, and what their numbers stand for."""
    x, space, cond = model.domain.batch("test", indices, streams(0, "augment", indices))
    if KNOWN in (cond or {}):  # it would leave nothing to tell of a part of the example
        cond = withhold(cond, {KNOWN})
    batch = Batch(x, space, cond)
    device = model.device
    if not isinstance(model.domain, HasUnits):
        return batch.to(device), None
    units = model.domain.units(batch.x, batch.space)
    tensors = {name: part for name, part in units._asdict().items() if isinstance(part, Tensor)}
    moved: dict[str, Any] = {name: part.to(device) for name, part in tensors.items()}
    return batch.to(device), units._replace(**moved)


def bound(
    model: Model,
    kind: str,
    batch: Batch,
    units: Units | None,
    seed: int,
    part: range,
    draws: int,
    lowest: float,
) -> Estimate:
    """Return one of `LIKELIHOODS` of a batch whose examples are numbered `part`; `lowest` as in the bounds."""
    denoiser = copy.copy(model.denoiser)  # the same weights
    denoiser.precision = "float32"
    generators = streams(seed, f"likelihood/{kind}", part, model.device)
    match kind:
        case "vlb":
            return continuous_vlb(denoiser, batch, generators, draws=draws, units=units, lowest=lowest)
        case "chain":
            variance: Variance = "learned" if tells_variance(model.config) else "small"
            schedule = denoiser.schedule
            levels = chain(schedule, len(schedule.grid) if isinstance(schedule, Table) else CHAIN, lowest)
            return discrete_vlb(denoiser, batch, generators, levels, variance=variance, draws=draws, units=units)
        case "flow":
            how: dict[str, Any] = {"trace": "hutchinson", "rtol": 1e-3, "atol": 1e-3, "lowest": lowest}
            try:
                return flow_bound(denoiser, batch, generators, units=units, **how)
            except IntegrationError as error:
                raise UserError(f"The flow of this model cannot be followed. {error}") from error
    raise unknown("likelihood", kind, LIKELIHOODS)


def summary(bounds: Sequence[Estimate], dims: Tensor, all_discrete: bool) -> dict[str, Any]:
    """Return the mean over all examples of nats, nats and bits a dimension, parts and evaluations."""
    nats = torch.cat([estimate.nats.cpu() for estimate in bounds])
    each = nats / dims.clamp(min=1)
    root = math.sqrt(len(nats))
    row = {
        "nats": finite(nats.mean().item()),
        "nats_error": finite(nats.std().item() / root),
        "nats_per_dim": finite(each.mean().item()),
        "nats_per_dim_error": finite(each.std().item() / root),
        "bits_per_dim": finite(each.mean().item() / math.log(2)) if all_discrete else None,
        "bits_per_dim_error": finite(each.std().item() / root / math.log(2)) if all_discrete else None,
        "evaluations": torch.cat([estimate.evaluations.cpu() for estimate in bounds]).double().mean().item(),
    }
    names = bounds[0].parts
    return row | {"parts": {name: torch.cat([e.parts[name].cpu() for e in bounds]).mean().item() for name in names}}


def discrete(units: Units | None) -> bool:
    """Return whether every number of a state stands for a bin."""
    return units is not None and units.low is not None and not bool(units.low.isnan().any())
