"""Inpainting by replacement, plain or repeated (RePaint): sample the unknown part of a state given the known one.

Symbols: s noise level, J steps of a jump, R runs of each piece.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from polydiff.core.conditions import Condition
from polydiff.core.entry import check_states, check_streams
from polydiff.core.space import Space, State
from polydiff.gaussian.control.known import Known, known_part
from polydiff.gaussian.denoise import Denoise
from polydiff.gaussian.sampling.execute import Step, run_plan
from polydiff.gaussian.sampling.plan import Plan, PlanRow, Renoise, rows_on
from polydiff.gaussian.wrapper import wrapped


def repaint(
    levels: Sequence[float],
    sampler: str = "ddpm",
    jump: int = 5,
    resample: int = 1,
    sigma_data: float = 1.0,
    **options: Any,
) -> list[PlanRow]:
    """Return the rows of a plan that runs each piece of the noise levels R times (RePaint).

    A piece is J steps, from s_0 to s_J. Before each repetition the state gets noise of variance s_0^2 - s_J^2, which
    takes it back to s_0. This harmonises the unknown part with the known one (Lugmayr et al., 2022, algorithm 1 and
    appendix A, https://arxiv.org/abs/2201.09865; the paper has J = 10 and R = 10 with 250 steps).

    Arguments:
        levels: Falling noise levels.
        sampler: Name of the sampler of each piece.
        jump: J.
        resample: R; 1: the sampler's own plan.
        sigma_data: Standard deviation of the data.
        options: Options of the sampler.

    Raises:
        ValueError: jump or resample is below 1.
    """
    if jump < 1 or resample < 1:
        raise ValueError(f"jump and resample must be at least 1, not {jump} and {resample}.")
    if resample == 1:
        return rows_on(levels, sampler, sigma_data, **options)
    rows: list[PlanRow] = []
    for first in range(0, len(levels) - 1, jump):
        piece = levels[first : first + jump + 1]
        up = Renoise(piece[0], C=math.sqrt(piece[0] ** 2 - piece[-1] ** 2))
        run = rows_on(piece, sampler, sigma_data, **options)
        rows += [*run, *((up, *run) * (resample - 1))]
    return rows


def inpainting(
    denoise: Denoise,
    rows: Plan,
    space: Space,
    cond: Condition | None = None,
    *,
    known: State,
    mask: Tensor,
    generators: Sequence[torch.Generator],
) -> Iterator[Step]:
    """Yield a `Step` after each row of the plan of `inpaint`.

    Arguments:
        denoise: A denoiser, guided or not.
        rows: A plan from noise to 0.
        space: Where the states live.
        cond: Their conditions; None: unconditional.
        known: Clean states (R, ...); their values off the mask are not used.
        mask: 1 (or True) where known, broadcasting against a state.
        generators: One random stream for each sample.
    """
    check_streams(generators, space)
    check_states(known, space, name="known")
    first = rows[0]
    # a row that only adds noise starts from the highest level
    highest = denoise.schedule.sigma_max if isinstance(first, Renoise) else first.at
    x = highest * space.noise(generators)
    controlled = wrapped(denoise, lambda inner: Known(inner, known, mask))
    yield from run_plan(rows, controlled, x, space, cond, generators)


def inpaint(
    denoise: Denoise,
    rows: Plan,
    space: Space,
    cond: Condition | None = None,
    *,
    known: State,
    mask: Tensor,
    generators: Sequence[torch.Generator],
) -> State:
    """Return states whose known part is that of `known`, to rounding; with a mask of ones, `known` itself.

    Arguments:
        denoise: A denoiser, guided or not.
        rows: A plan from noise to 0, by `repaint` or `polydiff.gaussian.sampling.plan`.
        space: Where the states live.
        cond: Their conditions; None: unconditional.
        known: Clean states; their values off the mask are not used.
        mask: 1 (or True) where known, broadcasting against a state (`polydiff.gaussian.control.known_part`).
        generators: One random stream a sample.

    Returns:
        States, in the shape of `known`.
    """
    steps = inpainting(denoise, rows, space, cond, known=known, mask=mask, generators=generators)
    x = known
    for step in steps:
        x = step.x
    return x + known_part(known.to(x) - x, mask.to(x.device), space)  # removes the sampler's error on the known part
