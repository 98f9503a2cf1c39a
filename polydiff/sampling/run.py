"""The one loop that runs any plan, and the way from noise to samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from polydiff.denoise import Denoise, with_variance
from polydiff.sampling.grid import noise_levels
from polydiff.sampling.rows import SAMPLERS, Row
from polydiff.schedule import Schedule
from polydiff.space import Condition, Space, State


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


def plan(
    schedule: Schedule,
    steps: int = 50,
    sampler: str = "dpmpp_2m",
    spacing: str | None = None,
    *,
    sigma_data: float = 1.0,
    start: float | None = None,
    levels: Sequence[float] | None = None,
    spacing_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> list[Row]:
    """Return the rows of a sampler on a grid; arguments as in `sample`."""
    if levels is None:
        levels = noise_levels(schedule, steps, spacing or "asinh", start, **(spacing_options or {}))
    return SAMPLERS[sampler](levels, **options)


@torch.no_grad()
def run_plan(
    rows: Sequence[Row],
    denoise: Denoise,
    x: State,
    space: Space,
    cond: Condition | None,
    generators: Sequence[torch.Generator],
) -> Iterator[Step]:
    """Run a plan from state x and yield after each row: the only sampling loop.

    Arguments:
        rows: The plan.
        denoise: E[x_0 | x].
        x: The state at the noise level of the first row.
        space: Where x lives.
        cond: Conditions.
        generators: One random stream a sample, for rows with C > 0.
    """
    depth = max((len(row.B) for row in rows), default=0)
    latest: list[State] = []
    x_0 = x
    for row in rows:
        if row.at is not None:
            sigma = torch.full((space.batch,), row.at, device=x.device, dtype=x.dtype)
            if row.C_large is None:
                x_0 = denoise(x, sigma, space, cond)
            else:
                x_0, v = with_variance(denoise, x, sigma, space, cond)
            m = x_0 if (row.P, row.Q) == (1.0, 0.0) else row.P * x_0 + row.Q * x
            latest = [m, *latest[: depth - 1]]
        elif row.Q:
            latest = [row.Q * x, *latest[: depth - 1]]
        x = row.A * x
        for b, m in zip(row.B, latest, strict=False):  # the first rows of a multistep plan have less history
            if b:
                x = x + b * m
        if row.C and row.C_large is None:
            x = x + row.C * space.noise(generators)
        elif row.C:
            x = x + space.project(row.C ** (1 - v) * row.C_large**v * space.noise(generators))
        yield Step(row.to, x, x_0)


def trajectory(
    denoise: Denoise,
    space: Space,
    cond: Condition | None = None,
    *,
    generators: Sequence[torch.Generator],
    init: State | None = None,
    start: float | None = None,
    **how: Any,
) -> Iterator[Step]:
    """Sample and yield every state; arguments as in `sample`."""
    rows = plan(denoise.schedule, start=start, sigma_data=denoise.sigma_data, **how)
    top = next(row.at for row in rows if row.at is not None)
    x = top * space.noise(generators)
    return run_plan(rows, denoise, x if init is None else init + x, space, cond, generators)


def sample(
    denoise: Denoise,
    space: Space,
    cond: Condition | None = None,
    *,
    generators: Sequence[torch.Generator],
    init: State | None = None,
    start: float | None = None,
    **how: Any,
) -> State:
    """Return samples on a space.

    Arguments:
        denoise: A denoiser, guided or not.
        space: Where the B samples live.
        cond: Their conditions.
        generators: One random stream a sample (`polydiff.random.streams`), so that a sample does not depend on its
            batch.
        init: Clean states to begin from, with noise of level `start` added (SDEdit); None: from noise alone.
        start: Noise level to begin at; None: the schedule's highest.
        how: steps, sampler (`SAMPLERS`), spacing (`SPACINGS`), spacing_options, levels (a grid of your own) and the
            sampler's own options, such as eta; see `plan`.
    """
    for step in trajectory(denoise, space, cond, generators=generators, init=init, start=start, **how):
        x = step.x
    return x
