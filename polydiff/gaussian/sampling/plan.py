r"""What a sampler is: rows of coefficients.

In the frame x = x_0 + s eps every schedule's probability-flow ODE is dx/ds = (x - D(x, s)) / s with D = E[x_0 | x]
(Karras et al., 2022, eq. 1, https://arxiv.org/abs/2206.00364), and every sampler is a list of rows

$$ x \leftarrow A\,x + \sum_j B_j m_j + C\,\xi, \qquad m_0 = P\,D(x, s) + Q\,x, $$

where m_0, m_1, ... are the latest estimates, newest first, in the frame that the method integrates (P = 1, Q = 0: the
clean state itself), and xi is a standard normal draw on the space. The numbers follow from the noise levels alone.

A plan may also hold rows that do not evaluate the network, x <- A x + C xi (`Renoise`), and rows that hand the state to
an integrator with steps of its own (`Solve`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from polydiff.core.conditions import Condition
from polydiff.core.registry import Registry
from polydiff.core.space import Space, State, level_of
from polydiff.gaussian.denoise import Denoise
from polydiff.gaussian.sampling.spacing import for_data, noise_levels
from polydiff.gaussian.schedule.base import Schedule


class Row(NamedTuple):
    """One evaluation of the network and the update that follows: x <- A x + sum_j B_j m_j + C xi, m_0 = P D + Q x.

    Attributes:
        at: Noise level of x, at which the network is evaluated.
        A: Factor of x.
        B: Factors of the latest estimates, newest first.
        C: Factor of fresh noise.
        to: Noise level of x afterwards.
        P: Factor of D in the estimate that is kept.
        Q: Factor of x in the estimate that is kept.
        C_large: The other end of a learned noise factor: C^(1 - v) C_large^v, v in [0, 1] by the network; None: C.
    """

    at: float
    A: float
    B: tuple[float, ...]
    C: float
    to: float
    P: float = 1.0
    Q: float = 0.0
    C_large: float | None = None


class Renoise(NamedTuple):
    """A change of scale and noise without an evaluation: x <- A x + C xi.

    Attributes:
        to: Noise level of x afterwards.
        A: Factor of x.
        C: Factor of fresh noise; 0: none.
    """

    to: float
    A: float = 1.0
    C: float = 0.0


class Solve(NamedTuple):
    """An integrator that goes from one noise level to another by steps of its own.

    Attributes:
        at: Noise level of x.
        to: Noise level of x afterwards.
        solve: (denoise, x, space, cond) -> the state at `to`.
    """

    at: float
    to: float
    solve: Callable[[Denoise, State, Space, Condition | None], State]


PlanRow = Row | Renoise | Solve
Plan = Sequence[PlanRow]
Sampler = Callable[..., Plan]
Make = TypeVar("Make", bound=Sampler)


class SamplerRegistry(Registry[Sampler]):
    """Samplers by name. A registered function keeps its own type, since samplers change each other's rows."""

    def register(self, name: str) -> Callable[[Make], Make]:
        """Return a decorator that files a function (levels, **options) -> rows under `name`."""

        def file(make: Make) -> Make:
            super(SamplerRegistry, self).register(name)(make)
            return make

        return file


SAMPLERS = SamplerRegistry("sampler")
"""Name -> (levels, **options) -> rows, for decreasing noise levels that may end in 0."""


def evaluation_rows(rows: Plan) -> list[Row]:
    """Return the rows of a plan that evaluate the network once."""
    return [row for row in rows if isinstance(row, Row)]


def evaluations(rows: Plan) -> int | None:
    """Return how often a plan evaluates the network; None if that depends on the samples."""
    return None if any(isinstance(row, Solve) for row in rows) else len(evaluation_rows(rows))


def at_nearest(sigma: Tensor, levels: Sequence[float], *columns: Sequence[float]) -> tuple[Tensor, ...]:
    """Return what belongs to the level nearest to each noise level, since a level of a state may be rounded.

    Arguments:
        sigma: Noise levels, () or (B,).
        levels: Noise levels of a plan's rows.
        columns: Numbers, each column as long as `levels`.

    Returns:
        For each column the numbers of the nearest level, float64, in the shape and on the device of sigma.
    """
    level = level_of(sigma)
    if level is not None:
        i = min(range(len(levels)), key=lambda i: abs(levels[i] - level))
        return tuple(torch.full((), column[i], dtype=torch.float64) for column in columns)
    at, *values = (torch.tensor(column, dtype=torch.float64, device=sigma.device) for column in (levels, *columns))
    place = (at - sigma.double()[:, None]).abs().argmin(1)
    return tuple(column[place] for column in values)


def plan(
    schedule: Schedule,
    steps: int = 50,
    sampler: str = "auto",
    spacing: str | None = None,
    *,
    sigma_data: float = 1.0,
    start: float | None = None,
    levels: Sequence[float] | None = None,
    spacing_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> list[PlanRow]:
    """Return the rows of a sampler on a grid; arguments as in `polydiff.gaussian.sampling.sample`."""
    if levels is None:
        levels = grid(schedule, steps, sampler, spacing, sigma_data, start, spacing_options)
    return rows_on(levels, sampler, sigma_data, **options)


def grid(
    schedule: Schedule,
    steps: int,
    sampler: str,
    spacing: str | None,
    sigma_data: float,
    start: float | None,
    options: Mapping[str, Any] | None,
) -> list[float]:
    """Return the noise levels of a plan.

    Arguments:
        schedule: Gives the range.
        steps: Number of steps.
        sampler: Name of the method.
        spacing: Name of the placement; None: the sampler's own.
        sigma_data: Standard deviation of the data.
        start: Noise level to begin at; None: the schedule's highest.
        options: Further arguments of the placement; None: none.
    """
    place = spacing or ("auto" if sampler == "auto" else "asinh")
    return noise_levels(schedule, steps, place, start, sigma_data, **(options or {}))


def rows_on(levels: Sequence[float], sampler: str, sigma_data: float = 1.0, **options: Any) -> list[PlanRow]:
    """Return the rows of a sampler on noise levels, from a cache if the options can be hashed.

    Arguments:
        levels: Noise levels, falling; the last may be 0.
        sampler: Name of the method.
        sigma_data: Standard deviation of the data, for methods with an argument of this name.
        options: Further arguments of the method.

    Raises:
        ValueError: The levels do not fall, or the method rejects an option.
    """
    if len(levels) < 2 or not (levels[-1] >= 0 and levels[0] < math.inf and all(a > b for a, b in pairwise(levels))):
        raise ValueError(f"levels must be two or more finite noise levels that fall, none below 0: {list(levels)}.")
    if all(isinstance(value, Hashable) for value in options.values()):
        return list(remembered(SAMPLERS[sampler], sigma_data, tuple(levels), tuple(sorted(options.items()))))
    return list(for_data(SAMPLERS[sampler], sigma_data, levels, **options))


@lru_cache(maxsize=64)
def remembered(
    method: Sampler, sigma_data: float, levels: tuple[float, ...], options: tuple[tuple[str, Any], ...]
) -> tuple[PlanRow, ...]:
    """Return the rows of a method; a thousand rows of integrals take longer to compute than to run on a small state.

    Arguments:
        method: The sampler.
        sigma_data: Standard deviation of the data.
        levels: Noise levels.
        options: Names and values of further arguments, sorted.
    """
    return tuple(for_data(method, sigma_data, levels, **dict(options)))
