"""Importance sampling of the noise levels of a variational bound, by the loss that Gaussian data would have.

For Gaussian data of standard deviation s_d, the loss in log s is proportional to s_d^2 / (s^2 + s_d^2). In continuous
time a level is drawn with this density, in a chain each step with a probability near it (`shares`). There is one draw
in each of K strata, weighted by one over its probability, so the estimate is unbiased. In continuous time all draws are
equal for such Gaussian data.

Symbols: s noise level, s_d sigma_data, T levels, K draws, B batch size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from polydiff.gaussian.likelihood.terms import decoder_std

EVEN_SHARE = 0.1
"""Share of the draws spread evenly over the levels, which keeps every weight 1 / probability below a bound."""


def expected_nats(levels: Tensor, sigma_data: float) -> Tensor:
    """Return the nats per dimension of the decoder and of each step, (T,), for Gaussian data and v = 0."""
    nats = torch.full_like(levels, 0.5)
    nats[1:] = (levels[:-1] ** -2 - levels[1:] ** -2) * decoder_std(levels[1:], sigma_data) ** 2 / 2
    return nats


def shares(nats: Tensor) -> Tensor:
    """Return the probability of each term, (T,): in proportion to its nats, mixed with `EVEN_SHARE` of uniform."""
    return (1 - EVEN_SHARE) * nats / nats.sum() + EVEN_SHARE / len(nats)


def quantiles(draws: int, generators: Sequence[torch.Generator]) -> Tensor:
    """Return numbers in (0, 1), one in each of K strata for every sample, shape (K, B), float64."""
    own = [torch.rand(draws, generator=g, dtype=torch.float64, device=g.device) for g in generators]
    places = torch.arange(draws, dtype=torch.float64, device=own[0].device)[:, None]
    return ((torch.stack(own, 1) + places) / draws).clamp(1e-12, 1 - 1e-12)
