"""CFG++: a step goes towards the guided estimate, with the noise direction of the weak one.

Symbols: w scale in [0, 1], A factor of x in a first-order step, D_c strong, D_u weak.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from polydiff.core.space import Space, State
from polydiff.gaussian.guidance.first_order_steps import Steps, first_order
from polydiff.gaussian.guidance.method import GUIDANCE, Method, Only
from polydiff.gaussian.sampling.plan import Plan


@dataclass(frozen=True, eq=False)
class PlusPlus:
    r"""x_1 = D + A (x - D_u), D = D_u + w (D_c - D_u) (Chung et al., 2024, algorithm 2, https://arxiv.org/abs/2406.08070).

    A sampler's first-order step is x_1 = A x + (1 - A) D'. So CFG++ is plain guidance with a scale that depends on the
    step: D' = D_u + w / (1 - A) (D_c - D_u). A is s_1 / s_0 in a step without noise, and 0 in the step to 0.

    Arguments:
        scale: w, between 0 and 1 in the paper.
        steps: Steps of the sampler in use (`first_order`).
    """

    scale: float
    steps: Steps

    @property
    def only(self) -> Only:
        return "weak" if self.scale == 0 else None

    def __call__(self, strong: State, weak: State, x: State, sigma: Tensor, space: Space) -> State:
        keep = self.steps.find(sigma)[0].to(x.dtype)
        return weak + space.expand(self.scale / (1 - keep)) * (strong - weak)


@GUIDANCE.register("cfg_pp")
def cfg_pp(scale: float, rows: Plan) -> Method:
    """Return CFG++ (`PlusPlus`) for the sampler of these rows; raise ValueError unless it is of order 1."""
    return PlusPlus(scale, first_order(rows, "CFG++"))
