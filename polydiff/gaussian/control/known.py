r"""The known part of a state, selected by a mask, and a denoiser whose estimate keeps it.

A mask selects elements whose values are known. On a subspace they are known only as far as they can vary by themselves
within it. For molecules these are the places of the masked atoms relative to each other, because the origin moves with
the unknown atoms. So the known part is

$$ M x, \qquad M \text{ the orthogonal projector on } V \cap S, $$

where V is the space and S the states that are 0 off the mask. In R^n, M is the mask itself.

Symbols: M projector on the known part, P projector of the space, P_S multiplication by the mask, T = P_S P P_S, y known
state, D estimate.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from polydiff.core.conditions import Condition
from polydiff.core.space import Restricts, Space, State, check_mask, sqnorm
from polydiff.gaussian.control.measurement import conjugate_gradient
from polydiff.gaussian.wrapper import Wrapper
from polydiff.support.protocols import provides


def known_part(x: State, mask: Tensor, space: Space) -> State:
    """Return M x, the part of a state that lies on the masked elements alone, in x's shape.

    V and S intersect in the eigenvectors of T with eigenvalue 1. The rest of x is (1 - T)^+ (1 - T) x. Conjugate
    gradients find it in as many steps as T has other eigenvalues on S, unless the space has M in closed form
    (`polydiff.core.space.Restricts`).

    Arguments:
        x: Any state, (R, ...).
        mask: 1 (or True) where known, broadcasting against a state; for atoms (R, 1) packed, (B, N, 1) padded.
        space: V.
    """
    if provides(space, Restricts):
        return space.restrict(x, mask)
    keep = mask.to(x)

    def off(z: State) -> State:
        return keep * z - keep * space.project(keep * z)

    x = keep * x
    return space.project(x - conjugate_gradient(off, off(x), space, scale=sqnorm(space, x)))


@dataclass(frozen=True, eq=False)
class Known(Wrapper):
    r"""D' = D + M (y - D): the estimate has the known values where they are known.

    A sampler with a constant estimate y moves x to y + s xi. So the known part of a state has the noise of its level,
    and it is the noise that the trajectory already has: nothing is drawn twice. This is replacement (Song et al., 2021,
    https://arxiv.org/abs/2011.13456, appendix I; Lugmayr et al., 2022). The network sees the known part only through
    its noisy version, so the distribution of the rest given the known part is not exact. `repaint` reduces that error;
    `polydiff.gaussian.control.Measured` with covariance="jacobian" has none for Gaussian data.

    Arguments:
        denoiser: The wrapped denoiser.
        known: y, (R, ...); its values off the mask are not used.
        mask: 1 (or True) where known, broadcasting against a state.

    Raises:
        ValueError: The mask is not a tensor of 0 and 1 that broadcasts against y.
    """

    known: State
    mask: Tensor

    def __post_init__(self) -> None:
        check_mask(self.mask, self.known)

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        estimate = self.denoiser(x, sigma, space, cond)
        return estimate + known_part(self.known.to(x) - estimate, self.mask.to(x.device), space)
