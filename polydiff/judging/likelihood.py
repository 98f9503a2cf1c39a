"""The likelihood of test data: bounds on -log p of held-out examples, by the process of a model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from polydiff.contract.abilities import HasEntropy, HasUnits
from polydiff.core.condition_batch import withhold
from polydiff.core.conditions import is_known
from polydiff.core.likelihood import Bounds, Estimate
from polydiff.core.process.process import lacks
from polydiff.core.space import Batch
from polydiff.core.streams import streams
from polydiff.core.units import Units
from polydiff.machine.processes.dealing import dealt
from polydiff.model.model import Model
from polydiff.stages.embedded import Embedded
from polydiff.support.errors import UserError, check_whole, unknown
from polydiff.support.files import json_number
from polydiff.support.progress import counted, showing
from polydiff.support.protocols import provides


def likelihood(
    model: Model,
    n: int,
    kinds: Sequence[str] = ("vlb",),
    *,
    seed: int = 0,
    draws: int = 32,
    batch_size: int = 64,
    progress: bool | None = None,
) -> dict[str, Any]:
    """Bound -log p of up to n test examples, given their conditions, and return plain numbers for JSON.

    Nats are those of a whole example, in the data's units (`polydiff.core.units.Units`): the mean over the examples,
    with its standard error, which holds what the bounds' own draws add. A dimension is one of the space. Processes that
    are joined (`polydiff.machine.ranks.joined`) all call it, share the batches, and get the same numbers.

    Arguments:
        model: What to judge.
        n: Number of test examples, spread over all.
        kinds: Names of bounds (`bounds_of`).
        seed: Of the draws.
        draws: Noise levels drawn for each example, of "vlb" and "chain".
        batch_size: Examples at a time; it changes what a network computes by rounding alone.
        progress: Whether to show progress on stderr; None: on a terminal and in a notebook.
    """
    for name, number in {"n": n, "draws": draws, "batch_size": batch_size}.items():
        check_whole(name, number)
    process = bounding(model)
    for kind in kinds:
        if kind not in process.bounds:
            raise unknown("likelihood", kind, process.bounds)
    total = model.domain.size("test")
    n = min(n, total)
    parts = [range(first, min(first + batch_size, n)) for first in range(0, n, batch_size)]
    batches = [held_out(model, [i * total // n for i in part]) for part in parts]
    bound = process.bound(model, [units for _, units in batches], draws)
    dims = torch.cat([batch.space.dim.double().cpu() for batch, _ in batches])
    all_discrete = all(discrete(units) for _, units in batches)

    def bounded(kind: str) -> dict[str, Any]:
        def estimate(number: int) -> Estimate:
            (batch, units), part = batches[number], parts[number]
            return on_cpu(bound(kind, batch, units, streams(seed, f"likelihood/{kind}", part, model.device)))

        found = list(counted(f"batches of the bound {kind}", len(parts), dealt(range(len(parts)), estimate)))
        return summary(found, None if "part_units" in bound.facts else dims, all_discrete)

    with showing(progress):
        bounds = {kind: bounded(kind) for kind in kinds}
    floor = known_floor(model, dims.mean().item()) if all_discrete else {}
    return {
        "domain": model.config.domain,
        "step": model.step,
        "weights": model.weights,
        "n": n,
        "n_test": total,
        "seed": seed,
        "dimensions": dims.mean().item(),
        **bound.facts,
        "unit": next((units.name for _, units in batches if units is not None), "state"),
        "likelihood": bounds,
        **({"floor": floor} if floor else {}),
    }


def known_floor(model: Model, dimensions: float) -> dict[str, float]:
    """Return the least values that a bound can have, if the law of the data is known; else {}.

    Arguments:
        model: What is judged.
        dimensions: Mean number of dimensions of an example.
    """
    nats = model.domain.entropy() if provides(model.domain, HasEntropy) else None
    if nats is None:
        return {}
    return {"nats": nats, "nats_per_dim": nats / dimensions, "bits_per_dim": nats / dimensions / math.log(2)}


def bounds_of(model: Model) -> Mapping[str, str]:
    """Return the bounds that a model's process knows: name -> what it is."""
    return bounding(model).bounds


def bounding(model: Model) -> Bounds:
    """Return a model's process, which must be one that bounds the likelihood."""
    process = model.process
    if not provides(process, Bounds):
        raise lacks(process, "bound the likelihood of data")
    if isinstance(model.domain, Embedded):
        raise UserError(
            f"{model.domain.embedder.name}: embeddings lie on a sphere, where their density in space is infinite. A "
            "model of embeddings has no likelihood."
        )
    return process


def held_out(model: Model, indices: Sequence[int]) -> tuple[Batch, Units | None]:
    """Return test examples on the model's device, no part of them known, and what their numbers stand for."""
    x, space, cond = model.domain.batch("test", indices, streams(0, "augment", indices))
    if known := {name for name in cond or {} if is_known(name)}:  # a known part would have no likelihood
        cond = withhold(cond, known)
    batch = Batch(x, space, cond)
    device = model.device
    if not provides(model.domain, HasUnits):
        return batch.to(device), None
    units = model.domain.units(batch.x, batch.space)
    tensors = {name: part for name, part in units._asdict().items() if isinstance(part, Tensor)}
    moved: dict[str, Any] = {name: part.to(device) for name, part in tensors.items()}
    return batch.to(device), units._replace(**moved)


def on_cpu(found: Estimate) -> Estimate:
    """Return the same estimate, in memory of the CPU."""
    parts = {name: part.cpu() for name, part in found.parts.items()}
    return Estimate(found.nats.cpu(), found.error.cpu(), parts, found.evaluations.cpu())


def summary(bounds: Sequence[Estimate], dims: Tensor | None, all_discrete: bool) -> dict[str, Any]:
    """Return the mean over all examples of nats, nats and bits a dimension, parts and evaluations.

    Arguments:
        bounds: Estimates of each batch.
        dims: Dimensions of each example; None: they have different units, so that no number a dimension has a meaning.
        all_discrete: Whether all numbers stand for bins.
    """
    nats = torch.cat([estimate.nats for estimate in bounds])
    each = torch.full_like(nats, math.nan) if dims is None else nats / dims.clamp(min=1)
    root = math.sqrt(len(nats))
    row = {
        "nats": json_number(nats.mean().item()),
        "nats_error": json_number(nats.std().item() / root),
        "nats_per_dim": json_number(each.mean().item()),
        "nats_per_dim_error": json_number(each.std().item() / root),
        "bits_per_dim": json_number(each.mean().item() / math.log(2)) if all_discrete else None,
        "bits_per_dim_error": json_number(each.std().item() / root / math.log(2)) if all_discrete else None,
        "evaluations": torch.cat([estimate.evaluations for estimate in bounds]).double().mean().item(),
    }
    names = bounds[0].parts
    return row | {"parts": {name: torch.cat([e.parts[name] for e in bounds]).mean().item() for name in names}}


def discrete(units: Units | None) -> bool:
    """Return whether every number of a state stands for a bin."""
    return units is not None and units.low is not None and not bool(units.low.isnan().any())
