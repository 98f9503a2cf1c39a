"""Evaluation of an autoencoder: a domain's judges on reconstructions beside the originals.

Codes that a diffusion draws are not exact. So the metrics that compare pairs, and the agreement with conditions, are
measured a second time on reconstructions from codes with an error, under names that begin with "disturbed_".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import NamedTuple

from polydiff.contract.abilities import HasPrompts
from polydiff.contract.domain import Domain, Samples
from polydiff.contract.editing import Compares
from polydiff.core.process.abilities import Reconstructs
from polydiff.core.space import Batch
from polydiff.core.streams import streams
from polydiff.machine.processes.dealing import dealt
from polydiff.metrics.results import Metric
from polydiff.metrics.standard_error import mean
from polydiff.model.batches import dealt_sets
from polydiff.model.edit import held_out, reconstruct
from polydiff.model.model import Model
from polydiff.model.origin import given_to
from polydiff.model.restore import to_samples
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
    batches = held_out(model, n)
    ends = list(accumulate(batch.space.batch for batch in batches))

    def judged(part: tuple[int, Batch]) -> dict[str, Samples]:
        """Return the sets of one batch, whose examples are those up to a number."""
        end, batch = part
        first = end - batch.space.batch
        noise = batch.space.noise(streams(seed, "noise", range(first, end)))
        return {
            "value": reconstruct(model, batch),
            "disturbed": reconstruct(model, batch, error=ERROR, seed=seed, first=first),
            "data": to_samples(model, batch.x, batch, batch.cond),
            "noise": to_samples(model, noise, batch, batch.cond),
        }

    sets = dealt_sets(list(zip(ends, batches, strict=True)), judged, "batches reconstructed")
    sets = {row: replace(found, origin=found.origin or given_to(model)) for row, found in sets.items()}
    disturbed = sets.pop("disturbed")
    again = {"value": disturbed, "data": sets["data"], "noise": sets["noise"]}
    found = dealt(list(sets), lambda row: metrics_of(model.domain, sets[row], sets["data"], again[row]))
    rows = dict(zip(sets, found, strict=True))
    measured = rate(model, batches)
    for row, metrics in rows.items():
        metrics["rate"] = measured if row == "value" else measured._replace(value=math.nan, error=math.nan)
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
    process = model.process

    def bits(batch: Batch) -> tuple[list[float], float]:
        nats, fewer = process.rate(model, batch)
        return (nats / math.log(2)).tolist(), fewer

    rates = list(dealt(batches, bits))
    found, fewer = [number for each, _ in rates for number in each], rates[-1][1]
    meaning = (
        f"Divergence of codes from standard normal ones, in bits per number of a code. A code has {fewer:.3g} times "
        "fewer numbers than a state."
    )
    return Metric.of(mean(found), "bits", "lower", meaning)
