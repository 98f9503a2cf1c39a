"""CFG-Zero*: guidance of rectified flow with an optimal scale of the weak velocity, and none in the first steps.

Symbols: w scale, s noise level, D_c strong, D_u weak, u_c and u_u their velocities.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from polydiff.core.space import Space, State, sqnorm
from polydiff.gaussian.guidance.method import GUIDANCE, Method, Only, divide
from polydiff.gaussian.sampling.plan import Plan, evaluation_rows


@dataclass(frozen=True, eq=False)
class ZeroStar:
    r"""CFG-Zero* (Fan et al., 2025, algorithm 1, https://arxiv.org/abs/2503.18886).

    D is guided through the velocity of rectified flow, u = eps - x_0 = x / s - (1 + 1 / s) D. The guided velocity is
    u = a u_u + w (u_c - a u_u), where a = <u_c, u_u> / |u_u|^2 is the factor that fits u_u best to u_c. In the first
    steps, where the network's velocity is least accurate, u = 0. This leaves the state of rectified flow, x / (1 + s),
    unchanged.

    Arguments:
        scale: w.
        zero_above: Lowest noise level at which u = 0; infinity: none.
    """

    scale: float
    zero_above: float = math.inf

    @property
    def only(self) -> Only:
        return "strong" if self.scale == 1 and self.zero_above == math.inf else None

    def __call__(self, strong: State, weak: State, x: State, sigma: Tensor, space: Space) -> State:
        sigma = sigma.to(x.dtype)
        s = space.expand(sigma)
        u_c, u_u = (x - (1 + s) * strong) / s, (x - (1 + s) * weak) / s
        a = divide(space.sum(u_c * u_u), sqnorm(space, u_u), otherwise=1.0)
        weak_part = space.expand(a) * u_u
        u = weak_part + self.scale * (u_c - weak_part)
        keep = space.expand((sigma < self.zero_above).to(x.dtype))
        return (x - s * keep * u) / (1 + s)


@GUIDANCE.register("cfg_zero")
def cfg_zero(scale: float, rows: Plan, zero_steps: int = 0) -> Method:
    """Return CFG-Zero* (`ZeroStar`) with velocity 0 at the first `zero_steps` noise levels of the sampler."""
    levels = sorted({row.at for row in evaluation_rows(rows)}, reverse=True)
    if not 0 <= zero_steps <= len(levels):
        raise ValueError(f"zero_steps must be between 0 and the sampler's {len(levels)} steps, not {zero_steps}.")
    # between two levels, so that a level rounded to a state's precision stays on its side
    below = [*levels[1:], 0.0]
    above = (levels[zero_steps - 1] + below[zero_steps - 1]) / 2 if zero_steps else math.inf
    return ZeroStar(scale, above)
