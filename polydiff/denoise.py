r"""The denoiser: a backbone, a schedule and a target become E[x_0 | x].

The core writes a noisy state as x = x_0 + s eps, whatever schedule the network was trained with: a schedule's own
x_t is alpha_t x. The backbone sees

$$ F = P\, \mathrm{backbone}\!\left(\frac{x}{\sqrt{s^2 + \sigma_d^2}},\ \log s,\ \text{space},\ \text{cond}\right), $$

an input of unit variance and the log of the noise level, and nothing of the schedule. (Karras et al., 2022,
https://arxiv.org/abs/2206.00364)

Symbols: `sigma` the noise level s, `sigma_data` sigma_d, F the network's output, a and b the target's coefficients.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn

from polydiff.schedule import Schedule
from polydiff.space import Condition, Space, State
from polydiff.target import TARGETS, solve


class Denoise(Protocol):
    """Anything that samplers can use: a `Denoiser`, a guided one, or a closed form."""

    @property
    def schedule(self) -> Schedule:
        """The schedule, of which samplers read `sigma_min`, `sigma_max` and the time of a noise level."""

    @property
    def sigma_data(self) -> float:
        """Standard deviation of the data, 1 where a codec standardises them."""

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        """Return E[x_0 | x_0 + sigma eps = x], with sigma of shape (B,)."""


class Denoiser(nn.Module):
    """E[x_0 | x] by a network.

    Arguments:
        backbone: Module called as backbone(x, log_sigma, space, cond); see `polydiff.testing.check_backbone`.
        schedule: What the network is trained with.
        target: Name of what the network predicts (`polydiff.target.TARGETS`).
        sigma_data: Standard deviation of the data, 1 where the codec standardises it.
        precision: "float32" or "bf16", the autocast precision of the backbone; all else is float32.
    """

    def __init__(
        self,
        backbone: nn.Module,
        schedule: Schedule,
        target: str = "edm",
        sigma_data: float = 1.0,
        precision: str = "float32",
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.schedule = schedule
        self.target = target
        self.coefficients = TARGETS[target]
        self.sigma_data = sigma_data
        self.precision = precision

    def forward(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        """Return E[x_0 | x].

        Arguments:
            x: x_0 + sigma eps, on the space.
            sigma: Noise level of each sample, shape (B,).
            space: Where x lives.
            cond: Conditions, or None for an unconditional estimate.
        """
        f = self.predict(x, sigma, space, cond)
        s = space.expand(sigma.to(x))
        one = torch.ones_like(s)
        return solve(x, f, one, s, self.coefficients(one, s, self.sigma_data))[0]

    def predict(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        """Return the network's own output F = a x_0 + b eps, on the space."""
        low, high = math.log(self.schedule.sigma_min), math.log(self.schedule.sigma_max)
        scale = space.expand(torch.rsqrt(sigma.to(x) ** 2 + self.sigma_data**2))
        with self.autocast(x.device):
            f: Tensor = self.backbone(x * scale, sigma.log().clamp(low, high).to(x), space, cond)
        return space.project(f.to(x.dtype))

    def estimate(self, x_t: State, t: Tensor, space: Space, cond: Condition | None = None) -> State:
        """Return E[x_0 | x_t] for a state in the schedule's own frame at times t, shape (B,)."""
        alpha, _ = self.schedule(t)
        return self.forward(x_t / space.expand(alpha.to(x_t)), self.schedule.noise_level(t).to(x_t), space, cond)

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Return the context in which the backbone runs."""
        if self.precision != "bf16":
            return nullcontext()
        return torch.autocast(device.type, dtype=torch.bfloat16)
