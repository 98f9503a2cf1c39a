r"""The methods of guidance: functions that combine two estimates of the clean state.

A method receives a strong estimate D_c, of the requested condition, and a weak one D_u. The weak one is of no
condition, of a condition to avoid, or of a worse model. A method extrapolates from the weak one beyond the strong one.
All formulas are for D = E[x_0 | x]; affine ones are the same for eps, v and flow.

Symbols: w the scale, D_c `strong`, D_u `weak`, s `sigma`, B batch size, R rows of a state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from polydiff.core.registry import Registry
from polydiff.core.space import Space, State, sqnorm

Only = Literal["strong", "weak"] | None


class Method(Protocol):
    """A way to combine two estimates."""

    @property
    def only(self) -> Only:
        """The estimate that the result equals, so the other need not be computed; None: the method needs both."""

    def __call__(self, strong: State, weak: State, x: State, sigma: Tensor, space: Space) -> State:
        """Return the guided estimate.

        Arguments:
            strong: D_c, (R, ...).
            weak: D_u, (R, ...).
            x: Noisy states, (R, ...).
            sigma: Their noise levels, () or (B,), as in `polydiff.gaussian.denoise.Denoise`.
            space: Where states live.

        Returns:
            An estimate, (R, ...).
        """


GUIDANCE: Registry[Callable[..., Method]] = Registry("guidance method")
"""Name -> function (scale, rows, **options) -> method. rows are the sampler's plan, which few methods read."""


@dataclass(frozen=True)
class Linear:
    r"""D = D_u + w (D_c - D_u) (Ho & Salimans, 2022, https://arxiv.org/abs/2207.12598), and its rescaled form.

    w = 1 is the strong estimate, w = 0 the weak one, and w > 1 extrapolates. A large w widens the spread of an
    estimate's elements. A rescale phi > 0 moves the spread back to that of the strong estimate: D' = phi std(D_c) /
    std(D) D + (1 - phi) D (Lin et al., 2023, eq. 15 and 16, https://arxiv.org/abs/2305.08891, where it is applied to
    the network's output).

    Arguments:
        scale: w.
        rescale: phi, between 0 and 1; 0: none; 0.7 in the paper.

    Raises:
        ValueError: phi is out of range.
    """

    scale: float
    rescale: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.rescale <= 1:
            raise ValueError(f"rescale must be between 0 and 1, not {self.rescale}.")

    @property
    def only(self) -> Only:
        if self.scale == 0 and self.rescale == 0:
            return "weak"
        return "strong" if self.scale == 1 else None

    def __call__(self, strong: State, weak: State, x: State, sigma: Tensor, space: Space) -> State:
        guided = weak + self.scale * (strong - weak)
        if not self.rescale:
            return guided
        ratio = divide(spread(space, strong), spread(space, guided), otherwise=1.0)
        return guided * space.expand(self.rescale * ratio + (1 - self.rescale))


def spread(space: Space, x: State) -> Tensor:
    """Return the standard deviation over each sample's own elements, shape (B,)."""
    n = space.sum(torch.ones_like(x))
    mean = space.sum(x) / n
    return (sqnorm(space, x) / n - mean**2).clamp(min=0).sqrt()


def divide(a: Tensor, b: Tensor, otherwise: float) -> Tensor:
    """Return a / b elementwise, and `otherwise` where b is 0."""
    return torch.where(b == 0, otherwise, a / torch.where(b == 0, 1, b))


@GUIDANCE.register("cfg")
def cfg(scale: float, rows: object, rescale: float = 0.0) -> Method:
    """Return classifier-free guidance, rescaled if rescale > 0 (`Linear`); rows are not used."""
    return Linear(scale, rescale)
