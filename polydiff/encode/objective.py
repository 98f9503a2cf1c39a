r"""The loss of an autoencoder.

A state x has the code z = mean(x) + std(x) e with standard normal e. The loss of an example is

$$ \frac{1}{D} |x - \hat x(z + \eta)|_1 + w_s S(x, \hat x) + w_k \mathrm{KL} / K, $$

D numbers of a state, K numbers of a code, KL the divergence of N(mean, std^2) from N(0, 1) (Kingma and Welling, 2014,
https://arxiv.org/abs/1312.6114), S the distance of spectra (`polydiff.encode.spectra`), eta noise that the decoder
learns to withstand, since codes that a diffusion draws are not exact. Both means are per number, so a weight has the
same meaning for states and codes of all sizes.

Symbols: B batch, K channels of a code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from polydiff.contract.sections import EncodeConfig
from polydiff.core.objective import Moment, Objective, Outcome
from polydiff.core.space import Batch, normal
from polydiff.encode.module import Encoder, cropped, draw
from polydiff.encode.spectra import spectral_distance

TOWARDS = 0.1
"""Weight of the distance between the rate of codes and the rate that `encode.bits` sets."""


class Reconstruct(Objective[Encoder]):
    """The error of reconstructions and the rate of codes.

    Arguments:
        config: Weights of the terms.
    """

    def __init__(self, config: EncodeConfig) -> None:
        self.config = config

    def __call__(
        self, module: Encoder, batch: Batch, u: Tensor, generators: Sequence[torch.Generator], moment: Moment
    ) -> Outcome:
        config, x = self.config, batch.x
        mean, log_variance = module.encode(x)
        z = draw(mean, log_variance, normal(generators, mean.shape[1:], x.device))
        error = self.error(x, module.decode(self.disturbed(z, u, generators), x.shape[2:]))
        if config.shrink:
            made = module.decode(shrunk(z), [size // 2 for size in x.shape[2:]])
            small = cropped(shrunk(x), made.shape[2:])
            error = error + config.shrink * self.error(small, made)
        return Outcome(error + self.rate_loss(nats(mean, log_variance)), None)

    def error(self, x: Tensor, made: Tensor) -> Tensor:
        """Return the error of reconstructions `made` of states x, (B, C, ...) each, as (B,)."""
        difference = (made - x).flatten(1)
        plain = difference.abs().mean(1) if self.config.norm == "l1" else difference.square().mean(1)
        return plain + self.config.spectral * spectral_distance(x, made) if self.config.spectral else plain

    def disturbed(self, z: Tensor, u: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Return codes (B, K, ...) with noise of up to `encode.noise` times the spread of their channel.

        Arguments:
            z: Codes.
            u: Uniform number of each sample (B,), its share of the greatest noise.
            generators: B random streams.
        """
        if not self.config.noise:
            return z
        spread = channel_std(z.detach())
        level = (self.config.noise * u.to(z)).reshape(-1, *(1 for _ in z.shape[1:]))
        return z + level * spread * normal(generators, z.shape[1:], z.device)

    def rate_loss(self, rates: Tensor) -> Tensor:
        """Return the loss (B,) of rates (B,) in nats a number: weighted, or the distance of their mean from `bits`."""
        if self.config.bits is None:
            return self.config.kl * rates
        excess = rates - self.config.bits * math.log(2)
        return TOWARDS * excess * excess.detach().mean().sign()


def nats(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the divergence of codes N(mean, exp(log_variance)) from N(0, 1) in nats a number: (B, K, ...) -> (B,)."""
    each = (mean.square() + log_variance.exp() - 1 - log_variance) / 2
    return each.flatten(1).mean(1)


def channel_std(z: Tensor) -> Tensor:
    """Return the standard deviation of each channel of codes (B, K, ...) over the batch and all places, (K, 1, ...)."""
    axes = [axis for axis in range(z.ndim) if axis != 1]
    return z.float().std(axes, correction=0, keepdim=True)[0]


def shrunk(x: Any) -> Tensor:
    """Return tensors (B, C, ...) reduced to half their sides by means."""
    pool = functional.avg_pool2d if x.ndim == 4 else functional.avg_pool1d
    return pool(x, 2)
