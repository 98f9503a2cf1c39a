r"""What a sampler is: rows of coefficients.

In the frame x = x_0 + s eps every schedule's probability-flow ODE is dx/ds = (x - D(x, s)) / s with D = E[x_0 | x]
(Karras et al., 2022, eq. 1, https://arxiv.org/abs/2206.00364), and every sampler is a list of rows

$$ x \leftarrow A\,x + \sum_j B_j m_j + C\,\xi, \qquad m_0 = P\,D(x, s) + Q\,x, $$

where m_0, m_1, ... are the latest estimates, newest first, in whatever frame the method integrates (P = 1, Q = 0: the
clean state itself), and xi is a standard normal draw on the space. The numbers follow from the noise levels alone.

A plan may also hold rows that do not evaluate the network, x <- A x + C xi (`Renoise`), and rows that hand the state to
an integrator with steps of its own (`Solve`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from polydiff.denoise import Denoise
from polydiff.registry import Registry
from polydiff.space import Condition, Space, State, level_of


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
