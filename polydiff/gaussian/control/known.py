r"""Known parts: what a mask over a state's elements means on a space, and sampling that keeps them.

A mask names elements whose values are known. On a subspace they are known only as far as the subspace lets them vary by
themselves: of molecules, the places of the masked atoms relative to each other, since the origin moves with the atoms
that are not known yet. So the known part is

$$ M x, \qquad M \text{ the orthogonal projector on } V \cap S, $$

V the space and S the states that are 0 off the mask. In R^n, M is the mask itself.

Symbols: M projector on the known part, P projector of the space, T = P_S P P_S, y known state, D estimate.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from polydiff.core.conditions import Condition
from polydiff.core.space import Space, State, check_mask, sqnorm
from polydiff.gaussian.control.measurement import conjugate_gradient
from polydiff.gaussian.wrapper import Wrapper


def known_part(x: State, mask: Tensor, space: Space) -> State:
    """Return M x, the part of a state that lives on the masked elements alone.

    V and S meet where T has the eigenvalue 1. What x has off there is (1 - T)^+ (1 - T) x, found by conjugate gradients
    in as many steps as T has other eigenvalues: one for molecules, none in R^n.

    Arguments:
        x: Any state.
        mask: 1 (or True) where known, broadcasting against a state; for atoms (M, 1) packed, (B, N, 1) padded.
        space: V.
    """
    keep = mask.to(x)

    def off(z: State) -> State:
        return keep * z - keep * space.project(keep * z)

    x = keep * x
    return space.project(x - conjugate_gradient(off, off(x), space, scale=sqnorm(space, x)))


@dataclass(frozen=True, eq=False)
class Known(Wrapper):
    r"""D' = D + M (y - D): the estimate is exact where the answer is known.

    A sampler whose estimate is constant moves x to y + s xi, so the known part of a state is noised just as the data
    would be, at each level, by the noise that the trajectory carries. This is replacement (Song et al., 2021,
    https://arxiv.org/abs/2011.13456, appendix I; Lugmayr et al., 2022), without drawing anything twice. The network
    sees the known part only through its noisy version, so the rest is not quite distributed as given it: see `repaint`,
    which corrects that, and `polydiff.gaussian.control.Measured`.

    Arguments:
        denoiser: What is wrapped.
        known: y; what it holds off the mask does not matter.
        mask: 1 (or True) where known, broadcasting against a state.
    """

    known: State
    mask: Tensor

    def __post_init__(self) -> None:
        check_mask(self.mask, self.known)

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        estimate = self.denoiser(x, sigma, space, cond)
        return estimate + known_part(self.known.to(x) - estimate, self.mask.to(x.device), space)
