"""The one loop that runs any plan, and the functions that sample: `sample`, and `trajectory` with every state.

Symbols: s noise level, D estimate of the clean state, m_j latest slopes, newest first, A, B, C, P, Q coefficients of a
row (`polydiff.gaussian.sampling.plan`), v share of the large variance. In shapes, B is the batch size and R the number
of rows of a state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from polydiff.core.conditions import Condition
from polydiff.core.entry import check_precision, check_states, check_streams
from polydiff.core.space import Space, State, shared_level
from polydiff.gaussian.denoise import Denoise, with_variance
from polydiff.gaussian.sampling.plan import Plan, PlanRow, Renoise, Row, Solve, evaluation_rows, grid, rows_on


class Step(NamedTuple):
    """The result of one row of a plan.

    Attributes:
        sigma: Noise level of x.
        x: The states x_0 + sigma eps, (R, ...).
        x_0: The latest estimate of the clean states, (R, ...); the initial state before the first estimate.
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
    """Run a plan without gradients and yield a `Step` after each row.

    Arguments:
        rows: The plan.
        denoise: The denoiser, E[x_0 | x].
        x: States (R, ...) at the noise level of the first row.
        space: Where x lives.
        cond: Conditions; None: unconditional.
        generators: B random streams, for rows with C > 0.

    Yields:
        The states after each row. Later rows do not write to them.
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
                x, latest = advance(row, x, x_0, v, latest[: depth - 1], space, generators)
            case Renoise():
                x = renoised(row, x, space, generators)
            case Solve():
                x = row.solve(denoise, x, space, cond)
        yield Step(row.to, x, x_0)


def advance(
    row: Row,
    x: State,
    x_0: State,
    v: State | None,
    latest: Sequence[State],
    space: Space,
    generators: Sequence[torch.Generator],
) -> tuple[State, list[State]]:
    """Return the states after a row, and the latest slopes, newest first.

    Arguments:
        row: Coefficients of the update.
        x: States before it, (R, ...).
        x_0: Estimate of the clean states, (R, ...).
        v: Share of the large variance; None: the row's noise does not depend on it.
        latest: Slopes of earlier rows, newest first.
        space: Where x lives.
        generators: B random streams.
    """
    m = x_0 if row.P == 1 and not row.Q else combine(row.P, x_0, (row.Q,), (x,))
    slopes = [m, *latest]
    return add_noise(combine(row.A, x, row.B, slopes), row, v, space, generators), slopes


def renoised(row: Renoise, x: State, space: Space, generators: Sequence[torch.Generator]) -> State:
    """Return the states (R, ...) after a row that does not evaluate the network."""
    x = combine(row.A, x, (), ())
    return x + row.C * space.noise(generators) if row.C else x


def estimate(row: Row, denoise: Denoise, x: State, space: Space, cond: Condition | None) -> tuple[State, State | None]:
    """Return D(x), and v in (0, 1) if the noise of the row needs the learned variance; each of the shape of x.

    Arguments:
        row: Gives the noise level.
        denoise: The denoiser D.
        x: States, (R, ...).
        space: Where x lives.
        cond: Conditions; None: unconditional.
    """
    sigma = shared_level(row.at)
    if row.C_large is None:
        return denoise(x, sigma, space, cond), None
    return with_variance(denoise, x, sigma, space, cond)


def add_noise(x: State, row: Row, v: State | None, space: Space, generators: Sequence[torch.Generator]) -> State:
    """Return states with the noise of a row: of size C, or C^(1 - v) C_large^v elementwise; 0 if C or C_large is 0.

    Arguments:
        x: States, (R, ...).
        row: Gives C and C_large.
        v: Share of C_large on a logarithmic scale, of the shape of x; None: 0.
        space: Where x lives.
        generators: B random streams.
    """
    if not row.C:
        return x
    if row.C_large is None or v is None:
        return x + row.C * space.noise(generators)
    if not row.C_large:
        return x
    return x + space.project(row.C ** (1 - v) * row.C_large**v * space.noise(generators))


def combine(a: float, x: State, bs: Sequence[float], states: Sequence[State]) -> State:
    """Return a x + sum_j b_j m_j: x itself if a is 1 and all b_j are 0, else a new tensor.

    Arguments:
        a: Factor of x.
        x: States, (R, ...).
        bs: Factors b_0, b_1, ...
        states: m_0, m_1, ..., each (R, ...). Factors without a state are ignored.
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
    """Return a plan and the state (R, ...) at which it starts.

    Arguments:
        denoise: Gives the schedule and the standard deviation of the data.
        space: Where the B samples live.
        generators: B random streams, for the noise.
        steps: Number of steps.
        sampler: Name of the sampler (`SAMPLERS`).
        spacing: Name of the spacing of noise levels (`SPACINGS`); None: the sampler's own.
        init: Clean states (R, ...) to which noise of the first level is added; None: start from noise alone.
        start: Noise level at which sampling starts; None: the schedule's highest.
        levels: Decreasing noise levels, which replace steps, spacing and start; None: as these specify.
        spacing_options: Further arguments of the spacing; None: none.
        options: Further arguments of the sampler.
    """
    check_streams(generators, space)
    data = denoise.sigma_data
    if levels is None:
        levels = grid(denoise.schedule, steps, sampler, spacing, data, start, spacing_options)
    rows = rows_on(levels, sampler, data, **options)
    noise = space.noise(generators)
    check_precision(noise.dtype, levels, "noise of the space")
    x = levels[0] * noise
    if init is None:
        return rows, x
    check_states(init, space, levels=levels, name="init")
    return rows, init + x


def trajectory(
    denoise: Denoise,
    space: Space,
    cond: Condition | None = None,
    *,
    generators: Sequence[torch.Generator],
    **how: Any,
) -> Iterator[Step]:
    """Return an iterator that samples and yields a `Step` after each row of the plan.

    Arguments:
        denoise: A denoiser, guided or not.
        space: Where the B samples live.
        cond: Conditions of the samples; None: unconditional.
        generators: B random streams.
        how: Further arguments, as in `sample`.
    """
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
    """Return B samples, (R, ...).

    Arguments:
        denoise: A denoiser, guided or not.
        space: Where the B samples live.
        cond: Conditions of the samples; None: unconditional.
        generators: B random streams (`polydiff.core.streams.streams`). Each sample has its own, so that it does not
            depend on the rest of its batch.
        how: Further arguments:
            steps: Number of steps; default 50.
            sampler: Name of the sampler (`SAMPLERS`); default "auto".
            spacing: Name of the spacing of noise levels (`SPACINGS`); None: the sampler's own.
            spacing_options: Further arguments of the spacing.
            levels: Decreasing noise levels, which replace steps and spacing; None: as these specify.
            init: Clean states (R, ...) to start from, plus noise of the first level (SDEdit); None: noise alone.
            start: Noise level at which sampling starts; None: the schedule's highest.
            options: Any other name is an argument of the sampler, such as eta.

    Raises:
        ValueError: A noise level, a number of steps or an option is wrong.
        UserError: The name of the sampler or the spacing is not registered, there is not one stream for each sample,
            or `init` does not fit the space (`polydiff.core.entry`).
    """
    with torch.no_grad():  # once for all rows; `run_plan` would restore the caller's gradient mode after each
        rows, x = begin(denoise, space, generators=generators, **how)
        for step in execute(rows, denoise, x, space, cond, generators):
            x = step.x
    return x
