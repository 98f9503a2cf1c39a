"""Errors of molecules conditioned on a property, beside a random draw from the data.

    python benchmarks/asking.py RUN [-n 200] [--properties logp gyration] [--guidance 1 2] [--record]

Samples are conditioned on one property at a time, as by `polydiff sample RUN --cond logp=1.5`. The requested values
are those of n held-out molecules. The size and all other conditions are drawn from the training data near each value.
RDKit measures the samples. The error is the mean of |requested - measured| over the samples that RDKit reads as a
molecule, with its standard error. The other samples are counted. A random draw is one of the training geometries, for
any request.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from timing import markdown, parser, show

from polydiff.contract.domain import Samples
from polydiff.contract.sections.sampling import SampleConfig
from polydiff.core.streams import streams
from polydiff.domains.molecule.conditions import evenly_spaced
from polydiff.domains.molecule.domain import MoleculeDomain
from polydiff.model.model import Model
from polydiff.support.errors import UserError

DRAWN = 2000
"""Training geometries that stand for a random draw."""


def requests(domain: MoleculeDomain, name: str, n: int) -> np.ndarray:
    """Return the values of a property in n held-out molecules, (n,)."""
    values = domain.dataset.splits["test"].column(name).astype(np.float64)
    return values[[i * len(values) // n for i in range(n)]]


def drawn(model: Model, name: str, requested: np.ndarray, plan: SampleConfig, seed: int) -> Samples:
    """Return one sample for each requested value (n,) of a property."""
    domain, parts = model.domain, list[Samples]()
    assert isinstance(domain, MoleculeDomain)
    size = model.batch_size(plan)
    for first in range(0, len(requested), size):
        numbers = range(first, min(first + size, len(requested)))
        texts = [{name: repr(float(requested[i]))} for i in numbers]
        generators = [streams(seed, "blank", [i]) for i in numbers]
        draws = [domain.condition_sampler.draw(g, text) for g, text in zip(generators, texts, strict=True)]
        space, cond = domain.states.space_and_conditions(*(torch.cat(part) for part in zip(*draws, strict=True)))
        parts.append(Samples(domain.decode(model.states(space, cond, seed, numbers, plan).cpu(), space), cond))
    return Samples.join(parts)


def errors(domain: MoleculeDomain, name: str, requested: np.ndarray, samples: Samples) -> np.ndarray:
    """Return |requested - measured| of each sample, (n,), NaN if RDKit reads no molecule."""
    return np.abs(requested - np.array(domain.measures(samples)[name].values, np.float64))


def row(domain: MoleculeDomain, name: str, requested: np.ndarray, samples: Samples, guidance: float) -> list[str]:
    """Return the row of one property at one guidance."""
    found = errors(domain, name, requested, samples)
    valid = found[~np.isnan(found)]
    train = domain.dataset.splits["train"].column(name).astype(np.float64)
    chance = np.abs(requested[:, None] - train[evenly_spaced(len(train), DRAWN)])
    error = f"{valid.mean():.3g} ± {valid.std(ddof=1) / len(valid) ** 0.5:.2g}" if len(valid) > 1 else ""
    return [
        name,
        domain.measures(samples)[name].unit,
        f"{guidance:g}",
        error,
        f"{np.median(valid):.3g}" if len(valid) else "",
        f"{chance.mean():.3g}",
        f"{len(found) - len(valid)} of {len(found)}",
    ]


def table(model: Model, n: int, names: Sequence[str], scales: Sequence[float], args: argparse.Namespace) -> str:
    """Return the errors of all properties at all scales."""
    domain = model.domain
    assert isinstance(domain, MoleculeDomain)
    rows = [["requested", "unit", "guidance", "error", "median", "random draw", "no molecule"]]
    for name in names:
        if name not in domain.condition_set.properties:
            raise UserError(f"{args.run} was not trained with data.conditions=[{name}].")
        requested = requests(domain, name, n)
        for scale in scales:
            plan = model.plan(guidance=scale, sampler=args.sampler, steps=args.steps)
            rows.append(row(domain, name, requested, drawn(model, name, requested, plan, args.seed), scale))
    return markdown(rows)


def main() -> None:
    """Measure and print."""
    reader = parser(__doc__)
    reader.add_argument("run", type=Path)
    reader.add_argument("-n", type=int, default=200, help="samples for each row; default: 200")
    reader.add_argument("--properties", nargs="+", default=["logp", "gyration"], help="default: logp gyration")
    reader.add_argument("--guidance", type=float, nargs="+", default=[1.0, 2.0], help="default: 1 2")
    reader.add_argument("--sampler", help="default: the run's")
    reader.add_argument("--steps", type=int, help="default: the run's")
    reader.add_argument("--seed", type=int, default=0)
    args = reader.parse_args()
    torch.set_num_threads(args.threads)
    model = Model.load(args.run, device=args.device)
    found = table(model, args.n, args.properties, args.guidance, args)
    plan = model.plan(sampler=args.sampler, steps=args.steps)
    about = f"Preset {model.config.preset}, step {model.step}, {plan.sampler} in {plan.steps} steps, seed {args.seed}."
    show(f"Molecules conditioned on a property, n = {args.n}", f"{about}\n\n{found}", args)


if __name__ == "__main__":
    main()
