r"""Variational bounds of a denoiser: of a chain of T levels, and of its continuous limit.

$$ -\log p(x_0) \le \mathrm{prior} + \sum_{i=2}^T \mathrm{KL}_i + \mathrm{decoder}, \qquad
   \sum_i \mathrm{KL}_i \to \int_{s_1}^{s_T} \mathbb E\, \frac{|x_0 - D(x_0 + s \epsilon, s)|^2}{s^2}\, d \log s, $$

the limit being half the integral of the error of eps over log-SNR (Kingma et al., VDM, 2021, eq. 15,
https://arxiv.org/abs/2107.00630). Levels are drawn where Gaussian data of standard deviation s_d would have their
loss, with density proportional to s_d^2 / (s^2 + s_d^2) in log s, one in each of K strata, and weighted by one over
their probability: the estimate is unbiased, and for such data all draws are equal.

Symbols: s noise level, s_d sigma_data, D estimate of x_0, T levels, K draws, B batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from polydiff.core.likelihood import Estimate
from polydiff.core.space import Batch, sqnorm
from polydiff.core.units import Units
from polydiff.gaussian.denoise import Denoise, with_variance
from polydiff.gaussian.forward import noisy_state
from polydiff.gaussian.likelihood.terms import (
    Prior,
    averaged,
    bottom,
    decoder,
    decoder_std,
    in_units,
    prior_kl,
    prior_variance,
    step_kl,
    total,
)
from polydiff.gaussian.schedule.base import Schedule

Variance = Literal["small", "large", "learned"]
FIXED = {"small": 0.0, "large": 1.0}
FLOOR = 0.1
"""Share of the draws spread evenly over the levels, so that no weight is large."""


@torch.no_grad()
def chain(schedule: Schedule, steps: int, lowest: float | None = None) -> Tensor:
    """Return the T rising noise levels of a chain, uniform in the schedule's time: for DDPM's, its own T levels.

    Arguments:
        schedule: Gives the range.
        steps: T.
        lowest: s_1, where the decoder takes over; None: the schedule's lowest.
    """
    if steps < 2:
        raise ValueError(f"A chain needs at least 2 levels, not {steps}.")
    low, high = schedule.trained_times()
    if lowest is not None:
        low = float(schedule.time(-2 * torch.tensor(bottom(schedule, lowest), dtype=torch.float64).log()))
    return schedule.noise_level(torch.linspace(low, high, steps, dtype=torch.float64))


@torch.no_grad()
def discrete_vlb(
    denoise: Denoise,
    batch: Batch,
    generators: Sequence[torch.Generator],
    levels: Tensor,
    *,
    variance: Variance = "small",
    draws: int | None = None,
    decoder_draws: int = 1,
    units: Units | None = None,
    prior: Prior = "data",
) -> Estimate:
    """Return the bound that the chain with these levels gives.

    Arguments:
        denoise: E[x_0 | x].
        batch: Clean states, their space and conditions.
        generators: One random stream a sample.
        levels: Rising noise levels s_1 .. s_T, float64; see `chain`.
        variance: Of the steps, "small", "large" or "learned".
        draws: K, steps evaluated of each sample; None: all T - 1, each once.
        decoder_draws: Draws of the decoder's term.
        units: Bins and units of the data; None: a density of states.
        prior: p(x_T) as data and noise ("data") or noise alone ("noise").
    """
    check(variance, draws, decoder_draws)
    batch = batch._replace(x=batch.space.project(batch.x))
    x_0, space, _ = batch
    s = levels.double().to(x_0.device)
    if draws is None:
        steps = [torch.full((space.batch,), i, device=s.device) for i in range(1, len(s))]
        terms = [one_step(denoise, batch, generators, s[i], s[i - 1], variance) for i in steps]
        diffusion, error = torch.stack(terms).double().sum(0), torch.zeros_like(space.dim) * math.nan
    else:
        share = shares(expected_nats(s, denoise.sigma_data)[1:])
        weighted = []
        for u in quantiles(draws, generators).to(s.device):
            i = torch.searchsorted(share.cumsum(0), u).clamp(max=len(share) - 1) + 1
            weighted.append(one_step(denoise, batch, generators, s[i], s[i - 1], variance) / share[i - 1])
        diffusion, error = averaged(weighted)
    calls = draws or len(s) - 1
    return finish(denoise, batch, generators, s, diffusion, error, calls, decoder_draws, units, prior)


@torch.no_grad()
def continuous_vlb(
    denoise: Denoise,
    batch: Batch,
    generators: Sequence[torch.Generator],
    *,
    draws: int = 32,
    decoder_draws: int = 1,
    units: Units | None = None,
    prior: Prior = "data",
    lowest: float | None = None,
) -> Estimate:
    """Return the bound in the limit of infinitely many steps.

    Arguments:
        denoise: E[x_0 | x].
        batch: Clean states, their space and conditions.
        generators: One random stream a sample.
        draws: K, noise levels evaluated of each sample.
        decoder_draws: Draws of the decoder's term.
        units: Bins and units of the data; None: a density of states.
        prior: p(x_T) as data and noise ("data") or noise alone ("noise").
        lowest: s_1, where the decoder takes over; None: the schedule's lowest.
    """
    check("small", draws, decoder_draws)
    batch = batch._replace(x=batch.space.project(batch.x))
    x_0, space, cond = batch
    data = denoise.sigma_data**2
    ends = torch.tensor([bottom(denoise.schedule, lowest), denoise.schedule.sigma_max], dtype=torch.float64)
    ends = ends.to(x_0.device)
    low, high = -torch.log1p(data / ends**2) / 2  # the integral of s_d^2 / (s^2 + s_d^2) over log s
    weighted = []
    for u in quantiles(draws, generators).to(x_0.device):
        s = (data / torch.expm1(-2 * (low + u * (high - low)))).sqrt()
        x = noisy_state(x_0, space.expand(s.to(x_0)), space.noise(generators))
        estimate = denoise(x, s.to(x_0), space, cond)
        weighted.append(sqnorm(space, x_0 - estimate) * (s**-2 + 1 / data) * (high - low))
    diffusion, error = averaged(weighted)
    return finish(denoise, batch, generators, ends, diffusion, error, draws, decoder_draws, units, prior)


def check(variance: str, draws: int | None, decoder_draws: int) -> None:
    """Raise ValueError if an argument is out of range."""
    if variance not in (*FIXED, "learned"):
        raise ValueError(f"variance must be 'small', 'large' or 'learned', not {variance!r}.")
    if (draws is not None and draws < 1) or decoder_draws < 1:
        raise ValueError("draws and decoder_draws must be at least 1.")


def one_step(
    denoise: Denoise, batch: Batch, generators: Sequence[torch.Generator], s0: Tensor, s1: Tensor, variance: Variance
) -> Tensor:
    """Return the KL of the steps from s_0 to s_1, each (B,), for one draw of noise, shape (B,)."""
    x_0, space, cond = batch
    sigma = s0.to(x_0)
    x = noisy_state(x_0, space.expand(sigma), space.noise(generators))
    if variance == "learned":
        estimate, v = with_variance(denoise, x, sigma, space, cond)
        return step_kl(space, x_0, estimate, s0, s1, denoise.sigma_data, v)
    return step_kl(space, x_0, denoise(x, sigma, space, cond), s0, s1, denoise.sigma_data, FIXED[variance])


def finish(
    denoise: Denoise, batch: Batch, generators: Sequence[torch.Generator], levels: Tensor, diffusion: Tensor,
    error: Tensor, calls: int, decoder_draws: int, units: Units | None, prior: Prior,
) -> Estimate:  # fmt: skip
    """Return the whole bound, from its diffusion part and the levels at its two ends."""
    x_0, space, _ = batch
    low, high = float(levels[0]), float(levels[-1])
    decoded, spread = decoder_term(denoise, batch, generators, low, decoder_draws, units)
    parts = {
        "prior": prior_kl(space, x_0, high, prior_variance(high, denoise.sigma_data, prior)),
        "diffusion": diffusion,
        "decoder": decoded,
        **in_units(space, units),
    }
    errors = [error] if decoder_draws == 1 else [error, spread]
    return total(parts, errors, torch.full((space.batch,), calls + decoder_draws))


def decoder_term(
    denoise: Denoise, batch: Batch, generators: Sequence[torch.Generator], sigma: float, draws: int, units: Units | None
) -> tuple[Tensor, Tensor]:
    """Return E[-log p(x_0 | x_1)] at a noise level and its standard error, each (B,)."""
    x_0, space, cond = batch
    s = torch.full((space.batch,), sigma, dtype=torch.float64, device=x_0.device)
    c, found = decoder_std(s, denoise.sigma_data), []
    for _ in range(draws):
        x = noisy_state(x_0, sigma, space.noise(generators))
        found.append(decoder(space, x_0, denoise(x, s.to(x_0), space, cond), c, units))
    return averaged(found)


def expected_nats(levels: Tensor, sigma_data: float) -> Tensor:
    """Return the nats per dimension of the decoder and of each step, (T,), where data were Gaussian and v = 0."""
    nats = torch.full_like(levels, 0.5)
    nats[1:] = (levels[:-1] ** -2 - levels[1:] ** -2) * decoder_std(levels[1:], sigma_data) ** 2 / 2
    return nats


def shares(nats: Tensor) -> Tensor:
    """Return how often each term is drawn: in proportion to its nats, and a little evenly."""
    return (1 - FLOOR) * nats / nats.sum() + FLOOR / len(nats)


def quantiles(draws: int, generators: Sequence[torch.Generator]) -> Tensor:
    """Return numbers of (0, 1), one in each of K strata for every sample, shape (K, B), float64."""
    own = [torch.rand(draws, generator=g, dtype=torch.float64, device=g.device) for g in generators]
    places = torch.arange(draws, dtype=torch.float64, device=own[0].device)[:, None]
    return ((torch.stack(own, 1) + places) / draws).clamp(1e-12, 1 - 1e-12)
