"""The Gaussian kernel: a part of real numbers, x = x_0 + s eps, with the schedules, targets, losses and samplers of
`process=gaussian`.

A state of one such part is sampled bit for bit as by `process=gaussian`.

Symbols: s noise level, which is the level of the part, D estimate of x_0, F output of the network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from polydiff.core.entry import check_states
from polydiff.core.space import Batch, Space, shared_level
from polydiff.gaussian.control.known import known_part
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.forward import at_data_spread, noisy_state
from polydiff.gaussian.loss.base import Loss, Noisy
from polydiff.gaussian.sampling.execute import advance, renoised
from polydiff.gaussian.sampling.plan import Renoise, Row
from polydiff.gaussian.schedule.base import Schedule


class Unevaluated(NamedTuple):
    """A row that does not call the network, with the noise level before it.

    Attributes:
        row: The row.
        at: Noise level before it.
    """

    row: Renoise
    at: float

    @property
    def to(self) -> float:
        """Noise level after the row."""
        return self.row.to


DEPTH = 8
"""Number of slopes that are kept for multistep samplers."""


@dataclass(frozen=True, eq=False)
class GaussianKernel:
    """Gaussian diffusion of a part.

    Arguments:
        schedule: Gives the range of noise levels.
        target: Name of what the network predicts (`polydiff.gaussian.target.TARGETS`).
        error: Norm and weighting of the loss.
    """

    schedule: Schedule
    target: str
    error: Loss

    conditioned: ClassVar[bool] = True

    @property
    def top(self) -> float:
        return self.schedule.sigma_max

    @property
    def frame(self) -> Denoiser:
        """A denoiser without a network, for what an output of the network means."""
        return Denoiser(nn.Identity(), self.schedule, self.target)

    def prior(self, space: Space, generators: Sequence[torch.Generator]) -> Tensor:
        return self.top * space.noise(generators)

    def corrupt(self, x_0: Tensor, level: Tensor, space: Space, generators: Sequence[torch.Generator]) -> Tensor:
        return noisy_state(x_0, space.expand(level.to(x_0)), space.noise(generators))

    def hold(self, x_0: Tensor, level: Tensor, space: Space, generators: Sequence[torch.Generator]) -> Tensor:
        return self.corrupt(x_0, level, space, generators)

    def put(self, x: Tensor, known: Tensor, mask: Tensor, space: Space) -> Tensor:
        """Return states with the known part of others: of molecules, the places of atoms relative to each other."""
        return known.to(x) if bool(mask.all()) else x + known_part(known.to(x) - x, mask, space)

    def enter(self, x: Tensor, level: Tensor, space: Space) -> Tensor:
        if not level.ndim:
            return x * (1 / math.hypot(float(level), self.frame.sigma_data))
        return x * space.expand(torch.rsqrt(level.to(x) ** 2 + self.frame.sigma_data**2))

    def number(self, level: Tensor) -> Tensor:
        low, high = math.log(self.schedule.sigma_min), math.log(self.schedule.sigma_max)
        return level.double().log().clamp(low, high)

    def loss(
        self, f: Tensor, x_0: Tensor, x: Tensor, level: Tensor, slope: Tensor, space: Space, weighting: str
    ) -> Tensor:
        s = space.expand(level.to(x))
        noisy = Noisy(x, level, s, (x - x_0) / s)
        return self.error.of_output(space.project(f.to(x.dtype)), noisy, self.frame, Batch(x_0, space))

    def estimate(self, f: Tensor, x: Tensor, level: Tensor, space: Space) -> Tensor:
        """Return D, (R, ...), from the output of the network at levels (B,) or ()."""
        return self.frame.to_x0(x, space.project(f.to(x.dtype)), level, space)

    def step(
        self,
        row: Row | Unevaluated,
        f: Tensor,
        x: Tensor,
        space: Space,
        generators: Sequence[torch.Generator],
        memory: list[Any],
    ) -> Tensor:
        if isinstance(row, Unevaluated):
            return renoised(row.row, x, space, generators)
        x_0 = self.estimate(f, x, shared_level(row.at), space)
        x, slopes = advance(row, x, x_0, None, memory, space, generators)
        memory[:] = slopes[:DEPTH]
        return x

    def impose(self, f: Tensor, known: Tensor, x: Tensor, level: Tensor, space: Space) -> Tensor:
        level = level.clamp(min=self.schedule.sigma_min)  # of a part that is given clean, no output is used
        return self.frame.impose_known(space.project(f.to(x.dtype)), known, x, level, space)

    def guess(self, f: Tensor, x: Tensor, level: Tensor, space: Space) -> Tensor:
        return self.estimate(f, x, level, space)

    def visible(self, x: Tensor, level: float) -> Tensor:
        return at_data_spread(x, level, self.frame.sigma_data)

    def rate(self, f: Tensor, x_0: Tensor, x: Tensor, level: Tensor, space: Space) -> Tensor:
        """Return |x_0 - D|^2 / s^3, nats per unit of the noise level, (B,) (Kingma et al., VDM, 2021, eq. 15)."""
        error = x_0 - self.estimate(f, x, level.to(x), space)
        return space.sum(error * error) / level.to(x) ** 3

    def check(self, x_0: Tensor, space: Space, name: str) -> None:
        check_states(x_0, space, levels=(self.schedule.sigma_min, self.schedule.sigma_max), name=name)
