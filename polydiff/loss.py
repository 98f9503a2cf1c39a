r"""Training losses: which noise levels, which weight, which norm.

Three independent choices, each a small registry:

    TIMES       u in (0, 1) -> noise level s, the quantile function of the training distribution
    WEIGHTINGS  (s, c, sigma_data) -> w, the weight of |x_0 error|^2
    NORMS       residual -> its elementwise penalty

The residual is scaled so that its square is w |x_0 error|^2, then summed over the sample's own elements and divided
by the space's true dimension: padding never enters. Since the error of x_0 is c times the error of the network's
output F, with c = s / |b - s a|, no estimate of x_0 is formed at high noise.

Symbols: s noise level, SNR = 1 / s^2, c the error of x_0 for a unit error of F.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from polydiff.denoise import Denoiser
from polydiff.registry import Registry
from polydiff.schedule import Schedule
from polydiff.space import Batch, Space, State

Times = Callable[..., Tensor]
Weighting = Callable[..., Tensor]
Norm = Callable[..., Tensor]
TIMES: Registry[Times] = Registry("distribution of training times")
WEIGHTINGS: Registry[Weighting] = Registry("weighting")
NORMS: Registry[Norm] = Registry("loss")


@TIMES.register("uniform")
def uniform(u: Tensor, schedule: Schedule) -> Tensor:
    """t uniform between the times of the lowest and the highest noise level trained."""
    low, high = schedule.trained_times()
    return schedule.noise_level(low + u * (high - low))


@TIMES.register("log_normal")
def log_normal(u: Tensor, schedule: Schedule, mean: float = -1.2, std: float = 1.2) -> Tensor:
    """log s ~ N(mean, std^2), cut to the schedule's range (Karras et al., 2022, https://arxiv.org/abs/2206.00364)."""
    s = torch.exp(mean + std * torch.special.ndtri(u.double()))
    return s.clamp(schedule.sigma_min, schedule.sigma_max)


@TIMES.register("logit_normal")
def logit_normal(u: Tensor, schedule: Schedule, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """logit t ~ N(mean, std^2) (Esser et al., 2024, https://arxiv.org/abs/2403.03206)."""
    s = schedule.noise_level(torch.sigmoid(mean + std * torch.special.ndtri(u.double())))
    return s.clamp(schedule.sigma_min, schedule.sigma_max)


@WEIGHTINGS.register("simple")
def simple(s: Tensor, c: Tensor, sigma_data: float) -> Tensor:
    """Every error of the network's own target counts the same: w = 1 / c^2.

    With the target eps this is L_simple of DDPM (Ho et al., 2020), with edm it is the EDM weighting.
    """
    return c**-2


@WEIGHTINGS.register("snr")
def snr(s: Tensor, c: Tensor, sigma_data: float) -> Tensor:
    """w = SNR: every error of eps counts the same, whatever the target."""
    return s**-2


@WEIGHTINGS.register("truncated_snr")
def truncated_snr(s: Tensor, c: Tensor, sigma_data: float) -> Tensor:
    """w = max(SNR, 1) (Salimans & Ho, 2022, https://arxiv.org/abs/2202.00512)."""
    return (s**-2).clamp(min=1)


@WEIGHTINGS.register("min_snr")
def min_snr(s: Tensor, c: Tensor, sigma_data: float, gamma: float = 5.0) -> Tensor:
    """w = min(SNR, gamma) (Hang et al., 2023, https://arxiv.org/abs/2303.09556)."""
    return (s**-2).clamp(max=gamma)


@WEIGHTINGS.register("edm")
def edm(s: Tensor, c: Tensor, sigma_data: float) -> Tensor:
    """w = (s^2 + sigma_data^2) / (s sigma_data)^2 (Karras et al., 2022, table 1)."""
    return (s**2 + sigma_data**2) / (s * sigma_data) ** 2


@WEIGHTINGS.register("x0")
def x0(s: Tensor, c: Tensor, sigma_data: float) -> Tensor:
    """w = 1: every error of x_0 counts the same."""
    return torch.ones_like(s)


@NORMS.register("l2")
def l2(r: Tensor) -> Tensor:
    """r^2."""
    return r * r


@NORMS.register("l1")
def l1(r: Tensor) -> Tensor:
    """|r|."""
    return r.abs()


@NORMS.register("huber")
def huber(r: Tensor, delta: float = 1.0) -> Tensor:
    """r^2 / 2 where |r| < delta, delta (|r| - delta / 2) beyond (Huber, 1964)."""
    return functional.huber_loss(r, torch.zeros_like(r), reduction="none", delta=delta)


def stratified(n: int, generator: torch.Generator) -> Tensor:
    """Return n points of (0, 1), one in each stratum, by one draw: u_i = (u + i / n) mod 1.

    Their variance over a batch is lower than that of independent draws (Kingma et al., VDM, 2021, appendix I.1,
    https://arxiv.org/abs/2107.00630).
    """
    u = torch.rand((), generator=generator, dtype=torch.float64, device=generator.device)
    return ((u + torch.arange(n, device=u.device, dtype=torch.float64) / n) % 1).clamp(1e-7, 1 - 1e-7)


@dataclass(frozen=True)
class Loss:
    """Squared (L1, Huber) error per dimension of the space, weighted by noise level.

    Arguments:
        norm: Name of the penalty (`NORMS`).
        weighting: Name of the weight (`WEIGHTINGS`).
        times: Name of the distribution of training times (`TIMES`).
        norm_options: Further arguments of the penalty.
        weighting_options: Further arguments of the weight.
        times_options: Further arguments of the distribution of times.
    """

    norm: str = "l2"
    weighting: str = "simple"
    times: str = "uniform"
    norm_options: Mapping[str, Any] = field(default_factory=dict)
    weighting_options: Mapping[str, Any] = field(default_factory=dict)
    times_options: Mapping[str, Any] = field(default_factory=dict)

    def noise_levels(self, u: Tensor, schedule: Schedule) -> Tensor:
        """Return training noise levels, float64, for u in (0, 1)."""
        return TIMES[self.times](u, schedule, **self.times_options)

    def __call__(
        self, denoiser: Denoiser, batch: Batch, sigma: Tensor, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Return the loss of each sample, shape (B,).

        Arguments:
            denoiser: What is trained.
            batch: Clean states, their space and conditions.
            sigma: Noise level of each sample, shape (B,).
            generators: One random stream a sample, for the noise.
        """
        x_0, space, cond = batch
        eps = space.noise(generators)
        s = space.expand(sigma.to(x_0))
        f = denoiser.predict(x_0 + s * eps, sigma.to(x_0), space, cond)
        a, b = denoiser.coefficients(torch.ones_like(s), s, denoiser.sigma_data)
        return self.penalise(lever(denoiser, s) * (f - (a * x_0 + b * eps)), s, denoiser, space)

    def weight(self, s: Tensor, denoiser: Denoiser) -> Tensor:
        """Return w at noise levels s."""
        return WEIGHTINGS[self.weighting](s, lever(denoiser, s), denoiser.sigma_data, **self.weighting_options)

    def penalise(self, error: State, s: Tensor, denoiser: Denoiser, space: Space) -> Tensor:
        """Return the loss (B,) of an error of x_0 at noise levels s, which broadcast against it."""
        penalty = partial(NORMS[self.norm], **self.norm_options)
        return space.sum(penalty(self.weight(s, denoiser).sqrt() * error)) / space.dim.clamp(min=1)


def lever(denoiser: Denoiser, s: Tensor) -> Tensor:
    """Return c, the error of x_0 for a unit error of the network's output, at noise levels s."""
    a, b = denoiser.coefficients(torch.ones_like(s), s, denoiser.sigma_data)
    return s / (b - s * a).abs()
