"""Guidance: wrappers of a denoiser, each usable with every sampler and every domain."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from polydiff.denoise import Denoise
from polydiff.schedule import Schedule
from polydiff.space import Condition, Space, State


@dataclass(frozen=True)
class ClassifierFree:
    r"""Classifier-free guidance: D = D_u + w (D_c - D_u) (Ho & Salimans, 2022, https://arxiv.org/abs/2207.12598).

    w = 1 is the conditional model, w = 0 the unconditional one, w > 1 pushes towards the condition. The same in any
    of the targets, since each is affine in x_0.

    Arguments:
        denoiser: A conditional denoiser trained with dropout of its condition.
        scale: The weight w.
    """

    denoiser: Denoise
    scale: float

    @property
    def schedule(self) -> Schedule:
        return self.denoiser.schedule

    @property
    def sigma_data(self) -> float:
        return self.denoiser.sigma_data

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        if cond is None or self.scale == 0:
            return self.denoiser(x, sigma, space, None)
        conditional = self.denoiser(x, sigma, space, cond)
        if self.scale == 1:
            return conditional
        unconditional = self.denoiser(x, sigma, space, None)
        return unconditional + self.scale * (conditional - unconditional)
