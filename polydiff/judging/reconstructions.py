"""Evaluation of an autoencoder: a domain's judges on reconstructions beside the originals.

Codes that a diffusion draws are not exact. So the metrics that compare pairs, and the agreement with conditions, are
measured a second time on reconstructions from codes with an error, under names that begin with "disturbed_".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from polydiff.contract.abilities import Compares, HasPrompts
from polydiff.contract.domain import Domain, Samples
from polydiff.core.process.abilities import Reconstructs
from polydiff.core.space import Batch
from polydiff.core.streams import streams
from polydiff.metrics.results import Metric
from polydiff.metrics.standard_error import mean
from polydiff.model.edit import held_out, reconstruct
from polydiff.model.model import Model
from polydiff.model.restore import to_samples
from polydiff.support.progress import counted
from polydiff.support.protocols import provides

ERROR = 0.1
"""Error of disturbed codes: standard deviation as a multiple of the spread of each channel."""
DISTURBED = "disturbed_"


class Judged(NamedTuple):
    """Examples and their metrics.

    Attributes:
        sets: Examples by column: "value", reconstructions; "data", the originals; "noise".
        rows: Metrics by column and name.
    """

    sets: dict[str, Samples]
    rows: dict[str, dict[str, Metric]]


def judge_codec(model: Model, n: int, seed: int) -> Judged:
    """Judge reconstructions of up to n held-out examples.

    Arguments:
        model: The autoencoder.
        n: Number of examples.
        seed: Random seed of the errors of codes, and of noise.
    """
    batches, first = held_out(model, n), 0
    parts: dict[str, list[Samples]] = {row: [] for row in ("value", "disturbed", "data", "noise")}
    for batch in counted("batches reconstructed", len(batches), batches):
        noise = batch.space.noise(streams(seed, "noise", range(first, first + batch.space.batch)))
        parts["value"].append(reconstruct(model, batch))
        parts["disturbed"].append(reconstruct(model, batch, error=ERROR, seed=seed, first=first))
        parts["data"].append(to_samples(model, batch.x, batch, batch.cond))
        parts["noise"].append(to_samples(model, noise, batch, batch.cond))
        first += batch.space.batch
    sets = {row: Samples.join(found) for row, found in parts.items()}
    disturbed = sets.pop("disturbed")
    again = {"value": disturbed, "data": sets["data"], "noise": sets["noise"]}
    rows = {row: metrics_of(model.domain, found, sets["data"], again[row]) for row, found in sets.items()}
    measured = rate(model, batches)
    for row, found in rows.items():
        found["rate"] = measured if row == "value" else measured._replace(value=math.nan, error=math.nan)
    return Judged(sets, rows)


def metrics_of(domain: Domain, samples: Samples, truth: Samples, again: Samples) -> dict[str, Metric]:
    """Return the metrics of a set of examples.

    Arguments:
        domain: Whose judges they are.
        samples: The set.
        truth: The original of each.
        again: The set whose metrics have names that begin with "disturbed_".
    """
    found = pairwise(domain, samples, truth)
    twice = {f"{DISTURBED}{name}": said_of(metric) for name, metric in pairwise(domain, again, truth).items()}
    return {**found, **domain.evaluate(samples), **twice}


def pairwise(domain: Domain, samples: Samples, truth: Samples) -> dict[str, Metric]:
    """Return the distances of examples to their originals, and their agreement with their conditions."""
    distances = domain.compare(samples, truth) if provides(domain, Compares) else {}
    return {**distances, **(domain.agreement(samples) if provides(domain, HasPrompts) else {})}


def said_of(metric: Metric) -> Metric:
    """Return a metric whose meaning says that it is of disturbed codes."""
    note = f"The same after codes got an error of {ERROR:g} times their spread."
    return metric._replace(meaning=note)


def rate(model: Model, batches: Sequence[Batch]) -> Metric:
    """Return the rate of the codes of examples, in bits per number of a code."""
    assert provides(model.process, Reconstructs)
    found, fewer = [], 1.0
    for batch in batches:
        nats, fewer = model.process.rate(model, batch)
        found += (nats / math.log(2)).tolist()
    meaning = (
        f"Divergence of codes from standard normal ones, in bits per number of a code. A code has {fewer:.3g} times "
        "fewer numbers than a state."
    )
    return Metric.of(mean(found), "bits", "lower", meaning)
