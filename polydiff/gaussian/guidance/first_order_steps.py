"""The steps of a first-order sampler, for methods that are defined by what a step does with an estimate.

Symbols: s_0 noise level of an evaluation, s_1 of the state after its step x <- A x + (1 - A) D + C xi.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from polydiff.gaussian.sampling.plan import Plan, at_nearest, evaluation_rows


class Steps(NamedTuple):
    """The steps of a sampler of order 1.

    Attributes:
        at: s_0 of each step.
        A: Factor of x in each step.
        to: s_1 of each step.
    """

    at: tuple[float, ...]
    A: tuple[float, ...]
    to: tuple[float, ...]

    def find(self, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Return A and s_1 of the steps that start nearest to noise levels (B,) or (), each of that shape, float64."""
        A, to = at_nearest(sigma, self.at, self.A, self.to)
        return A, to


def first_order(rows: Plan, method: str) -> Steps:
    """Return the steps of a plan of a first-order sampler.

    Arguments:
        rows: The plan; rows that only add noise may stand between its steps.
        method: Name of the method that needs them, for the message.

    Raises:
        ValueError: A step is not of first order in D, leaves the noise level as it is, or the plan has none.
    """
    steps = evaluation_rows(rows)
    for row in steps:
        plain = (row.P, row.Q) == (1.0, 0.0) and len(row.B) > 0 and not any(row.B[1:])
        if not plain or row.to == row.at or row.A >= 1 or abs(row.A + row.B[0] - 1) > 1e-9:
            raise ValueError(
                f"{method} is defined by what a first-order step does with each estimate. Use the sampler ddim, ddpm "
                "or euler with it."
            )
    if not steps:
        raise ValueError(f"{method} needs the rows of the sampler that it is used with.")
    return Steps(tuple(row.at for row in steps), tuple(row.A for row in steps), tuple(row.to for row in steps))
