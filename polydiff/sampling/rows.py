r"""What a sampler is: rows of coefficients.

In the frame x = x_0 + s eps every schedule's probability-flow ODE is dx/ds = (x - D(x, s)) / s with D = E[x_0 | x]
(Karras et al., 2022, eq. 1, https://arxiv.org/abs/2206.00364), and every sampler is a list of rows

$$ x \leftarrow A\,x + \sum_j B_j m_j + C\,\xi, \qquad m_0 = P\,D(x, s) + Q\,x, $$

where m_0, m_1, ... are the latest estimates, newest first, in whatever frame the method integrates (P = 1, Q = 0: the
clean state itself), and xi is a standard normal draw on the space. The numbers follow from the noise levels alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from polydiff.denoise import Denoise
from polydiff.registry import Registry
from polydiff.space import Condition, Space, State

Solve = Callable[[Denoise, State, Space, Condition | None], State]


class Row(NamedTuple):
    """One update of a plan.

    Attributes:
        at: Noise level of x, at which the network is evaluated; None: no evaluation.
        A: Factor of x.
        B: Factors of the latest estimates, newest first.
        C: Factor of fresh noise.
        to: Noise level of x afterwards.
        P: Factor of D in the estimate that is kept.
        Q: Factor of x in it. Where the network is not evaluated and Q is not 0, the estimate Q x is kept.
        C_large: The other end of a learned noise factor: C^(1 - v) C_large^v, v in [0, 1] by the network; None: C.
        solve: An integrator that goes from `at` to `to` by steps of its own and stands for all the rest; None: none.
    """

    at: float | None
    A: float
    B: tuple[float, ...]
    C: float
    to: float
    P: float = 1.0
    Q: float = 0.0
    C_large: float | None = None
    solve: Solve | None = None


Sampler = Callable[..., list[Row]]
SAMPLERS: Registry[Sampler] = Registry("sampler")
"""Name -> (levels, **options) -> rows, for decreasing noise levels that may end in 0."""


def evaluations(rows: Sequence[Row]) -> int | None:
    """Return how often a plan calls the network; None where that depends on the samples."""
    return None if any(row.solve for row in rows) else sum(row.at is not None for row in rows)
