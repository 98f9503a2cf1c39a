r"""Plans: a sampler is a list of rows of coefficients.

In the frame x = x_0 + s eps every schedule's probability-flow ODE is dx/ds = (x - D(x, s)) / s with D = E[x_0 | x]
(Karras et al., 2022, eq. 1, https://arxiv.org/abs/2206.00364). A sampler is a list of rows

$$ x \leftarrow A\,x + \sum_j B_j m_j + C\,\xi, \qquad m_0 = P\,D(x, s) + Q\,x, $$

where m_0, m_1, ... are the latest slopes, newest first, in the frame that the method integrates (P = 1, Q = 0:
estimates of the clean state), and xi is standard normal noise on the space. The coefficients depend on the noise
levels, the options of the sampler and the standard deviation of the data.

A plan may also contain rows that do not evaluate the network, x <- A x + C xi (`Renoise`), and rows that pass the state
to an integrator with error control (`Solve`).

Symbols: s noise level, x state, D estimate of the clean state, A B C P Q coefficients, B also the batch size in shapes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import lru_cache, wraps
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
        B: Factors of the latest slopes m_0, m_1, ..., newest first.
        C: Factor of fresh noise.
        to: Noise level of x after the update.
        P: Factor of D in m_0.
        Q: Factor of x in m_0.
        C_large: For a learned variance, the noise factor is C^(1 - v) C_large^v with v in [0, 1] from the network;
            None: it is C.
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
        to: Noise level of x after the update.
        A: Factor of x.
        C: Factor of fresh noise; 0: none.
    """

    to: float
    A: float = 1.0
    C: float = 0.0


class Solve(NamedTuple):
    """An integrator that takes the state from one noise level to another and chooses its own steps.

    Attributes:
        at: Noise level of x.
        to: Noise level of x after the integration.
        solve: (denoise, x, space, cond) -> the state at `to`, of the shape of x.
    """

    at: float
    to: float
    solve: Callable[[Denoise, State, Space, Condition | None], State]


PlanRow = Row | Renoise | Solve
Plan = Sequence[PlanRow]
Sampler = Callable[..., Plan]
Make = TypeVar("Make", bound=Sampler)


class SamplerRegistry(Registry[Sampler]):
    """Samplers by name. A registered function keeps its own type, since some samplers change the rows of others."""

    def register(self, name: str) -> Callable[[Make], Make]:
        """Return a decorator that registers a function (levels, **options) -> rows, with a check of its levels."""

        def file(make: Make) -> Make:
            @wraps(make)
            def checked(levels: Sequence[float], *arguments: Any, **options: Any) -> Plan:
                check_levels(levels)
                return make(levels, *arguments, **options) if len(levels) > 1 else []

            super(SamplerRegistry, self).register(name)(checked)
            return make

        return file


def check_levels(levels: Sequence[float]) -> None:
    """Raise ValueError unless noise levels are finite, above 0 but for the last, and neighbours differ."""
    above = all(0 < s < math.inf for s in levels[:-1]) and all(0 <= s < math.inf for s in levels[-1:])
    if not above or any(a == b for a, b in pairwise(levels)):
        raise ValueError(
            "The noise levels of a sampler must be finite and above 0, where the last may be 0, and neighbours must "
            f"differ: {list(levels)}. An inversion starts at the schedule's lowest level, `schedule.sigma_min`."
        )


def check_falls(s0: float, s1: float, remedy: str) -> None:
    """Raise ValueError if a step that adds noise rises.

    Arguments:
        s0: Noise level at the start of the step.
        s1: Noise level at its end.
        remedy: Option and value with which the method solves the ODE, such as "eta=0".
    """
    if s1 > s0:
        raise ValueError(f"On rising noise levels, such as {s0:g} to {s1:g}, there is only the ODE: use {remedy}.")


SAMPLERS = SamplerRegistry("sampler")
"""Name -> function (levels, **options) -> rows, for decreasing noise levels of which the last may be 0.

On rising levels, methods without noise give the rows of an inversion. One level alone gives no rows.
"""


def evaluation_rows(rows: Plan) -> list[Row]:
    """Return the rows of a plan that evaluate the network once."""
    return [row for row in rows if isinstance(row, Row)]


def evaluations(rows: Plan) -> int | None:
    """Return the number of evaluations of the network in a plan; None if it depends on the samples."""
    return None if any(isinstance(row, Solve) for row in rows) else len(evaluation_rows(rows))


def at_nearest(sigma: Tensor, levels: Sequence[float], *columns: Sequence[float]) -> tuple[Tensor, ...]:
    """Return the entries of columns at the level nearest to each noise level, which may be rounded.

    Arguments:
        sigma: Noise levels, () or (B,).
        levels: Noise levels of a plan's rows.
        columns: Columns of numbers, each with one entry for each level.

    Returns:
        The entries of each column, float64, of the shape and on the device of sigma.
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
    """Return the rows of a sampler on a grid of noise levels.

    Arguments:
        schedule: Gives the range of noise levels.
        steps: Number of steps.
        sampler: Name of the sampler (`SAMPLERS`).
        spacing: Name of the spacing of noise levels (`SPACINGS`); None: the sampler's own.
        sigma_data: Standard deviation of the data.
        start: Noise level at which sampling starts; None: the schedule's highest.
        levels: Decreasing noise levels, which replace steps and spacing; None: as these specify.
        spacing_options: Further arguments of the spacing; None: none.
        options: Further arguments of the sampler.

    Raises:
        ValueError: A noise level, a number of steps or an option is wrong.
        UserError: The name of the sampler or the spacing is not registered.
    """
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
        sampler: Name of the sampler.
        spacing: Name of the spacing; None: the sampler's own, "auto" for auto and "asinh" for all others.
        sigma_data: Standard deviation of the data.
        start: Noise level at which sampling starts; None: the schedule's highest.
        options: Further arguments of the spacing; None: none.
    """
    name = spacing or ("auto" if sampler == "auto" else "asinh")
    return noise_levels(schedule, steps, name, start, sigma_data, **(options or {}))


def rows_on(levels: Sequence[float], sampler: str, sigma_data: float = 1.0, **options: Any) -> list[PlanRow]:
    """Return the rows of a sampler on noise levels, from a cache if the options can be hashed.

    Arguments:
        levels: Noise levels, decreasing; the last may be 0.
        sampler: Name of the sampler (`SAMPLERS`).
        sigma_data: Standard deviation of the data, for samplers with an argument of this name.
        options: Further arguments of the sampler.

    Raises:
        ValueError: The levels do not decrease, or the sampler rejects an option.
        UserError: The name of the sampler is not registered.
    """
    if len(levels) < 2 or not (levels[-1] >= 0 and levels[0] < math.inf and all(a > b for a, b in pairwise(levels))):
        raise ValueError(f"levels must be two or more finite noise levels, decreasing, none below 0: {list(levels)}.")
    if all(isinstance(value, Hashable) for value in options.values()):
        return list(cached_rows(SAMPLERS[sampler], sigma_data, tuple(levels), tuple(sorted(options.items()))))
    return list(for_data(SAMPLERS[sampler], sigma_data, levels, **options))


@lru_cache(maxsize=64)
def cached_rows(
    method: Sampler, sigma_data: float, levels: tuple[float, ...], options: tuple[tuple[str, Any], ...]
) -> tuple[PlanRow, ...]:
    """Return the rows of a sampler from a cache: on small states, computing 1000 rows takes longer than running them.

    Arguments:
        method: The sampler.
        sigma_data: Standard deviation of the data.
        levels: Noise levels.
        options: Names and values of further arguments, sorted.
    """
    return tuple(for_data(method, sigma_data, levels, **dict(options)))
