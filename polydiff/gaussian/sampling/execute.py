"""The one loop that runs any plan, and the way from noise to samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from polydiff.core.conditions import Condition
from polydiff.core.space import Space, State, shared_level
from polydiff.gaussian.denoise import Denoise, with_variance
from polydiff.gaussian.sampling.plan import Plan, PlanRow, Renoise, Row, Solve, evaluation_rows, grid, rows_on


class Step(NamedTuple):
    """What a sampler yields after each row.

    Attributes:
        sigma: Noise level of x.
        x: The state, x_0 + sigma eps.
        x_0: The latest estimate of the clean state.
    """

    sigma: float
    x: State
    x_0: State


@torch.no_grad()
def run_plan(
    rows: Plan,
    denoise: Denoise,
    x: State,
    space: Space,
    cond: Condition | None,
    generators: Sequence[torch.Generator],
) -> Iterator[Step]:
    """Run a plan from state x and yield after each row.

    Arguments:
        rows: The plan.
        denoise: E[x_0 | x].
        x: The state at the noise level of the first row.
        space: Where x lives.
        cond: Conditions.
        generators: One random stream a sample, for rows with C > 0.
    """
    yield from execute(rows, denoise, x, space, cond, generators)


def execute(
    rows: Plan,
    denoise: Denoise,
    x: State,
    space: Space,
    cond: Condition | None,
    generators: Sequence[torch.Generator],
) -> Iterator[Step]:
    """Run a plan in the caller's gradient mode: the only sampling loop. Arguments as in `run_plan`."""
    depth = max((len(row.B) for row in evaluation_rows(rows)), default=1)
    latest: list[State] = []
    x_0 = x
    for row in rows:
        match row:
            case Row():
                x_0, v = estimate(row, denoise, x, space, cond)
                m = x_0 if row.P == 1 and not row.Q else combine(row.P, x_0, (row.Q,), (x,))
                latest = [m, *latest[: depth - 1]]
                x = add_noise(combine(row.A, x, row.B, latest), row, v, space, generators)
            case Renoise():
                x = combine(row.A, x, (), ())
                if row.C:
                    x = x + row.C * space.noise(generators)
            case Solve():
                x = row.solve(denoise, x, space, cond)
        yield Step(row.to, x, x_0)


def estimate(row: Row, denoise: Denoise, x: State, space: Space, cond: Condition | None) -> tuple[State, State | None]:
    """Return D(x), and v in (0, 1) of x's shape if the row's noise needs the learned variance.

    Arguments:
        row: Gives the noise level.
        denoise: D.
        x: The state.
        space: Where x lives.
        cond: Conditions.
    """
    sigma = shared_level(row.at)
    if row.C_large is None:
        return denoise(x, sigma, space, cond), None
    return with_variance(denoise, x, sigma, space, cond)


def add_noise(x: State, row: Row, v: State | None, space: Space, generators: Sequence[torch.Generator]) -> State:
    """Return a state with a row's noise: C, or C^(1 - v) C_large^v elementwise, which is 0 if either end is 0.

    Arguments:
        x: The state.
        row: Gives C and C_large.
        v: Share of C_large in the logarithm, of x's shape; None: 0.
        space: Where x lives.
        generators: One random stream a sample.
    """
    if not row.C:
        return x
    if row.C_large is None or v is None:
        return x + row.C * space.noise(generators)
    if not row.C_large:
        return x
    return x + space.project(row.C ** (1 - v) * row.C_large**v * space.noise(generators))


def combine(a: float, x: State, bs: Sequence[float], states: Sequence[State]) -> State:
    """Return a x + sum_j b_j m_j, a new tensor unless that is x.

    Arguments:
        a: Factor of x.
        x: A state.
        bs: b_0, b_1, ...
        states: m_0, m_1, ..., of x's shape; there may be fewer than factors.
    """
    out, fresh = (x, False) if a == 1 else (torch.mul(x, a), True)
    for b, m in zip(bs, states, strict=False):
        if b:
            out = out.add_(m, alpha=b) if fresh else torch.add(out, m, alpha=b)
            fresh = True
    return out


def begin(
    denoise: Denoise,
    space: Space,
    *,
    generators: Sequence[torch.Generator],
    steps: int = 50,
    sampler: str = "auto",
    spacing: str | None = None,
    init: State | None = None,
    start: float | None = None,
    levels: Sequence[float] | None = None,
    spacing_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> tuple[list[PlanRow], State]:
    """Return a plan and the state that it begins with; arguments as in `sample`."""
    data = denoise.sigma_data
    if levels is None:
        levels = grid(denoise.schedule, steps, sampler, spacing, data, start, spacing_options)
    rows = rows_on(levels, sampler, data, **options)
    x = levels[0] * space.noise(generators)
    return rows, x if init is None else init + x


def trajectory(
    denoise: Denoise,
    space: Space,
    cond: Condition | None = None,
    *,
    generators: Sequence[torch.Generator],
    **how: Any,
) -> Iterator[Step]:
    """Sample and yield every state; arguments as in `sample`."""
    rows, x = begin(denoise, space, generators=generators, **how)
    return run_plan(rows, denoise, x, space, cond, generators)


def sample(
    denoise: Denoise,
    space: Space,
    cond: Condition | None = None,
    *,
    generators: Sequence[torch.Generator],
    **how: Any,
) -> State:
    """Return samples on a space.

    Arguments:
        denoise: A denoiser, guided or not.
        space: Where the B samples live.
        cond: Their conditions.
        generators: One random stream a sample (`streams.streams`), so that a sample does not depend on its
            batch.
        how: What `begin` takes:
            steps: Number of steps, 50.
            sampler: Name of the method (`SAMPLERS`), "auto".
            spacing: Name of the placement of noise levels (`SPACINGS`); None: the sampler's own.
            spacing_options: Further arguments of the placement.
            levels: Noise levels of your own, falling, instead of steps and spacing.
            init: Clean states to begin from, with noise of the first level added (SDEdit); None: from noise alone.
            start: Noise level to begin at; None: the schedule's highest.
            options: Every other name is an argument of the method, such as eta.
    """
    with torch.no_grad():  # once for all rows: `run_plan` must give the caller's mode back at each
        rows, x = begin(denoise, space, generators=generators, **how)
        for step in execute(rows, denoise, x, space, cond, generators):
            x = step.x
    return x
