r"""Variational bounds of a denoiser: of a chain of T levels, and of its continuous limit.

$$ -\log p(x_0) \le \mathrm{prior} + \sum_{i=2}^T \mathrm{KL}_i + \mathrm{decoder}, \qquad
   \sum_i \mathrm{KL}_i \to \int_{s_1}^{s_T} \mathbb E\, \frac{|x_0 - D(x_0 + s \epsilon, s)|^2}{s^2}\, d \log s, $$

The limit is half the integral of the error of eps over log-SNR (Kingma et al., VDM, 2021, eq. 15,
https://arxiv.org/abs/2107.00630). `importance` draws the noise levels.

Symbols: s noise level, s_d sigma_data, D estimate of x_0, T levels, K draws, B batch size, R rows of a state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from polydiff.core.entry import check_batch, check_streams
from polydiff.core.likelihood import Estimate
from polydiff.core.space import Batch, sqnorm
from polydiff.core.units import Units
from polydiff.gaussian.denoise import Denoise, with_variance
from polydiff.gaussian.forward import noisy_state
from polydiff.gaussian.likelihood.importance import expected_nats, quantiles, shares
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
"""Name of a fixed variance -> v."""


@torch.no_grad()
def chain(schedule: Schedule, steps: int, lowest: float | None = None) -> Tensor:
    """Return the T rising noise levels of a chain, uniform in the schedule's time, shape (T,), float64.

    For the schedule of DDPM and its own T, these are its own levels.

    Arguments:
        schedule: Gives the range of noise levels.
        steps: T, at least 2.
        lowest: s_1, where the decoder takes over; None: the schedule's lowest.

    Raises:
        ValueError: T is below 2, or `lowest` is outside the schedule's range.
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
    """Return the bound on -log p(x_0) of the chain with these noise levels (Ho et al., 2020, eq. 5).

    https://arxiv.org/abs/2006.11239

    Arguments:
        denoise: E[x_0 | x].
        batch: Clean states (R, ...), their space and conditions.
        generators: One random stream a sample.
        levels: Rising noise levels s_1 .. s_T, shape (T,), float64; see `chain`.
        variance: Variance of the steps: "small", "large" or "learned" (`step_kl` with v = 0, v = 1 or the network's v).
        draws: K, steps evaluated of each sample; None: all T - 1, each once, with NaN as their error.
        decoder_draws: Draws of the decoder's term.
        units: Bins and units of the data; None: x_0 is continuous, and p(x_0) is a density of states.
        prior: Variance of p(x_T): that of data plus noise ("data"), or of noise alone ("noise").

    Returns:
        Nats, their standard error and their parts, each of shape (B,).

    Raises:
        ValueError: An argument is out of range, or "learned" is given with a denoiser that predicts no variance.
    """
    check(variance, draws, decoder_draws)
    check_given(denoise, batch, generators)
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
    ends = float(s[0]), float(s[-1])
    return complete_bound(denoise, batch, generators, ends, diffusion, error, calls, decoder_draws, units, prior)


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
    """Return the bound on -log p(x_0) in the limit of infinitely many steps (Kingma et al., 2021, eq. 15).

    Arguments:
        denoise: E[x_0 | x].
        batch: Clean states (R, ...), their space and conditions.
        generators: One random stream a sample.
        draws: K, noise levels evaluated of each sample.
        decoder_draws: Draws of the decoder's term.
        units: Bins and units of the data; None: x_0 is continuous, and p(x_0) is a density of states.
        prior: Variance of p(x_T): that of data plus noise ("data"), or of noise alone ("noise").
        lowest: s_1, where the decoder takes over; None: the schedule's lowest.

    Returns:
        Nats, their standard error and their parts, each of shape (B,).

    Raises:
        ValueError: An argument is out of range.
    """
    check("small", draws, decoder_draws)
    check_given(denoise, batch, generators)
    batch = batch._replace(x=batch.space.project(batch.x))
    x_0, space, cond = batch
    data = denoise.sigma_data**2
    ends = bottom(denoise.schedule, lowest), denoise.schedule.sigma_max
    levels = torch.tensor(ends, dtype=torch.float64).to(x_0.device)
    low, high = -torch.log1p(data / levels**2) / 2  # the integral of s_d^2 / (s^2 + s_d^2) over log s
    weighted = []
    for u in quantiles(draws, generators).to(x_0.device):
        s = (data / torch.expm1(-2 * (low + u * (high - low)))).sqrt()
        x = noisy_state(x_0, space.expand(s.to(x_0)), space.noise(generators))
        estimate = denoise(x, s.to(x_0), space, cond)
        weighted.append(sqnorm(space, x_0 - estimate) * (s**-2 + 1 / data) * (high - low))
    diffusion, error = averaged(weighted)
    return complete_bound(denoise, batch, generators, ends, diffusion, error, draws, decoder_draws, units, prior)


def check(variance: str, draws: int | None, decoder_draws: int) -> None:
    """Raise ValueError if an argument is out of range."""
    if variance not in (*FIXED, "learned"):
        raise ValueError(f"variance must be 'small', 'large' or 'learned', not {variance!r}.")
    if (draws is not None and draws < 1) or decoder_draws < 1:
        raise ValueError("draws and decoder_draws must be at least 1.")


def check_given(denoise: Denoise, batch: Batch, generators: Sequence[torch.Generator]) -> None:
    """Raise UserError unless a batch fits its space and there is one stream for each sample."""
    check_batch(batch, levels=(denoise.schedule.sigma_min, denoise.schedule.sigma_max))
    check_streams(generators, batch.space)


def one_step(
    denoise: Denoise, batch: Batch, generators: Sequence[torch.Generator], s0: Tensor, s1: Tensor, variance: Variance
) -> Tensor:
    """Return the KL of a step of each sample, by one draw of noise, shape (B,), in nats.

    Arguments:
        denoise: E[x_0 | x].
        batch: Clean states (R, ...), their space and conditions.
        generators: One random stream a sample.
        s0: Noise level before the step, float64, shape (B,).
        s1: Noise level after it, above 0, float64, shape (B,).
        variance: Variance of the step, as in `discrete_vlb`.
    """
    x_0, space, cond = batch
    sigma = s0.to(x_0)
    x = noisy_state(x_0, space.expand(sigma), space.noise(generators))
    if variance == "learned":
        estimate, v = with_variance(denoise, x, sigma, space, cond)
        return step_kl(space, x_0, estimate, s0, s1, denoise.sigma_data, v)
    return step_kl(space, x_0, denoise(x, sigma, space, cond), s0, s1, denoise.sigma_data, FIXED[variance])


def complete_bound(
    denoise: Denoise, batch: Batch, generators: Sequence[torch.Generator], ends: tuple[float, float], diffusion: Tensor,
    error: Tensor, calls: int, decoder_draws: int, units: Units | None, prior: Prior,
) -> Estimate:  # fmt: skip
    """Return the whole bound: the diffusion part plus the prior, the decoder and the change of units.

    Arguments:
        denoise: E[x_0 | x].
        batch: Clean states (R, ...), their space and conditions.
        generators: One random stream a sample.
        ends: s_1 and s_T, the lowest and the highest noise level.
        diffusion: The part of the noise levels between them, in nats, shape (B,).
        error: Its standard error, shape (B,).
        calls: Evaluations of the network that it took for each sample.
        decoder_draws: Draws of the decoder's term; the standard error of one draw is unknown and left out.
        units: Bins and units of the data; None: p(x_0) is a density of states.
        prior: Variance of p(x_T), as in `discrete_vlb`.
    """
    x_0, space, _ = batch
    low, high = ends
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
    """Return E[-log p(x_0 | x_1)] in nats and its standard error, each of shape (B,).

    Arguments:
        denoise: E[x_0 | x].
        batch: Clean states (R, ...), their space and conditions.
        generators: One random stream a sample.
        sigma: s_1, the noise level where the decoder takes over.
        draws: Draws of x_1 for each sample; with one draw the error is NaN.
        units: Bins and units of the data; None: p(x_0 | x_1) is a density.
    """
    x_0, space, cond = batch
    s = torch.full((space.batch,), sigma, dtype=torch.float64, device=x_0.device)
    c, found = decoder_std(s, denoise.sigma_data), []
    for _ in range(draws):
        x = noisy_state(x_0, sigma, space.noise(generators))
        found.append(decoder(space, x_0, denoise(x, s.to(x_0), space, cond), c, units))
    return averaged(found)
