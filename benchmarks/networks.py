"""Measure samplers on trained networks: python benchmarks/networks.py RUN [RUN ...] [--guidance 2] [--record].

The error of a sample is its distance from the solution of the same probability-flow ODE from the same noise by 200
evaluations of Heun's method, over that solution's norm; a sampler's number is the median over samples (in brackets: the
root mean square). The last line of a table is how far another method of 200 evaluations is from the same solution:
what lies below it means nothing. Guided networks solve the ODE of the estimate guided at all noise levels. With
--calibrate, one row more shows the sampler that `polydiff.calibrate` fits to the network on other noise.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cases import table
from samplers import machine

from polydiff.contract.sections.sampling import ALL_LEVELS
from polydiff.core.space import Space, State, sqnorm
from polydiff.core.streams import streams
from polydiff.model.calibration.fit import calibrate
from polydiff.model.model import Model

BUDGETS = (5, 8, 10, 20)
METHODS: list[dict[str, object]] = [
    {"sampler": "auto"},
    *(
        {"sampler": sampler, "spacing": spacing}
        for sampler in ("ddim", "dpmpp_2m", "unipc", "deis", "heun")
        for spacing in ("karras", "asinh")
    ),
]


def steps_of(sampler: object, evaluations: int) -> int:
    """Return the steps that a number of evaluations allows: Heun's method takes two but in the last."""
    return (evaluations + 1) // 2 if sampler == "heun" else evaluations


def solve(model: Model, n: int, evaluations: int, guidance: float, **how: Any) -> tuple[State, Space]:
    """Return n states that a sampler ends at, and their space; guidance applies at all noise levels."""
    plan = model.plan(steps=steps_of(how["sampler"], evaluations), **guided(guidance), **how)
    space, cond = model.domain.blank(streams(0, "blank", range(n)), {})
    return model.states(space, cond, 0, range(n), plan), space.to(model.device)


def guided(guidance: float) -> dict[str, Any]:
    """Return the keys of guidance at all noise levels; a run may have an interval."""
    return {"guidance": guidance, **({} if guidance == 1 else {"guidance_interval": ALL_LEVELS})}


def error(x: State, truth: State, space: Space) -> str:
    """Return the median and the root mean square of relative errors."""
    e = (sqnorm(space, x - truth) / sqnorm(space, truth)).double()
    return f"{e.median().sqrt():.2g} ({e.mean().sqrt():.2g})"


def measure(model: Model, n: int, guidance: float, budgets: Sequence[int], calibrated: bool) -> list[list[str]]:
    """Return rows of a table: a method, and its error at each budget; `calibrated`: with that of the fitted sampler."""
    truth, space = solve(model, n, 200, guidance, sampler="heun", spacing="asinh")
    rows = []
    for how in METHODS:
        errors = [error(solve(model, n, budget, guidance, **how)[0], truth, space) for budget in budgets]
        rows.append([" ".join(map(str, how.values())), *errors])
    if calibrated:
        found = [calibrate(model, steps=budget, **guided(guidance)).sampling for budget in budgets]
        fitted = [
            solve(model, n, budget, guidance, **as_keys(how))[0] for budget, how in zip(budgets, found, strict=True)
        ]
        rows.insert(1, ["calibrated", *(error(x, truth, space) for x in fitted)])
    other = error(solve(model, n, 200, guidance, sampler="adams", spacing="asinh")[0], truth, space)
    return [*rows, ["adams, 200 evaluations", *[other] * len(budgets)]]


def as_keys(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a fitted sampler without its steps, which follow from the evaluations, and its guidance."""
    return {key: value for key, value in sampling.items() if key not in ("steps", "guidance", "guidance_interval")}


def main(words: Sequence[str] | None = None) -> None:
    """Print the tables of runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("-n", type=int, default=64, help="samples")
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0, 2.0], help="1: none")
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS), help="evaluations")
    parser.add_argument("--calibrate", action="store_true", help="also fit the sampler to each network, minutes a cell")
    parser.add_argument("--record", action="store_true", help="append the tables to benchmarks/RESULTS.md")
    args = parser.parse_args(words)
    text = ""
    for run in args.runs:
        model = Model.load(run)
        for guidance in args.guidance:
            if guidance != 1 and not model.domain.conditions:
                continue
            title = f"{model.config.domain}, preset {model.config.preset}, step {model.step}, guidance {guidance:g}"
            rows = measure(model, args.n, guidance, args.budgets, args.calibrate)
            text += f"\n{title}:\n\n{table(['', *map(str, args.budgets)], rows)}\n"
    text = f"\n## Samplers on networks\n\n{machine()}, {args.n} samples.\n{text}"
    print(text)
    if args.record:
        with Path(__file__).with_name("RESULTS.md").open("a") as results:
            results.write(text)


if __name__ == "__main__":
    main()
