r"""The loss of an autoencoder.

A state x has the code z = mean(x) + std(x) e with standard normal e. The loss of an example is

$$ \frac{1}{D} |x - \hat x(z + \eta)|_1 + w_s S(x, \hat x) + w_k \mathrm{KL} / K, $$

D numbers of a state, K numbers of a code, KL the divergence of N(mean, std^2) from N(0, 1) (Kingma and Welling, 2014,
https://arxiv.org/abs/1312.6114), S the distance of spectra (`polydiff.encode.spectra`), eta noise that the decoder
learns to withstand, since codes that a diffusion draws are not exact. Both means are per number, so a weight has the
same meaning for states and codes of all sizes. The numbers of molecules are the dimensions of their spaces.

Symbols: B batch, K channels of a code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from polydiff.contract.sections.training import EncodeConfig
from polydiff.core.objective import Moment, Objective, Outcome
from polydiff.core.space import Batch, Euclidean, Space
from polydiff.encode.codes import channel_std, nats
from polydiff.encode.module import Encoder, cropped
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

    def compares(self, module: Encoder) -> bool:
        return self.config.bits is not None

    def __call__(
        self, module: Encoder, batch: Batch, u: Tensor, generators: Sequence[torch.Generator], moment: Moment
    ) -> Outcome:
        config, x, space = self.config, batch.x, batch.space
        codes = module.encode(x, space)
        z = codes.draw(generators)
        error = self.error(x, module.decode(self.disturbed(z, codes.space, u, generators, moment), space), space)
        if config.shrink:
            half = Euclidean(len(x), (x.shape[1], *(size // 2 for size in x.shape[2:])), x.device)
            made = module.decode(shrunk(z), half)
            small = cropped(shrunk(x), made.shape[2:])
            error = error + config.shrink * self.error(small, made, half)
        return Outcome(error + self.rate_loss(nats(*codes), moment), None)

    def error(self, x: Tensor, made: Tensor, space: Space) -> Tensor:
        """Return the error of reconstructions `made` of states x of a space, per number of a state, as (B,)."""
        difference = made - x
        each = difference.abs() if self.config.norm == "l1" else difference.square()
        plain = space.sum(each) / space.dim.clamp(min=1)
        return plain + self.config.spectral * spectral_distance(x, made) if self.config.spectral else plain

    def disturbed(
        self, z: Tensor, space: Space, u: Tensor, generators: Sequence[torch.Generator], moment: Moment
    ) -> Tensor:
        """Return codes of a space with noise of up to `encode.noise` times the spread of their channel in the batch.

        In a batch that is trained on in pieces, it is the spread in the piece.

        Arguments:
            z: Codes.
            space: Their space.
            u: Uniform number of each sample (B,), its share of the greatest noise.
            generators: B random streams.
            moment: State of training.
        """
        if not self.config.noise:
            return z
        level = space.expand(self.config.noise * u.to(z))
        return z + level * channel_std(z.detach(), space, moment.gather) * space.noise(generators).to(z)

    def rate_loss(self, rates: Tensor, moment: Moment) -> Tensor:
        """Return the loss (B,) of rates (B,) in nats a number: weighted, or the distance of their mean from `bits`."""
        if self.config.bits is None:
            return self.config.kl * rates
        excess = rates - self.config.bits * math.log(2)
        return TOWARDS * excess * moment.gather(excess.detach()).mean().sign()


def shrunk(x: Any) -> Tensor:
    """Return tensors (B, C, ...) reduced to half their sides by means."""
    pool = functional.avg_pool2d if x.ndim == 4 else functional.avg_pool1d
    return pool(x, 2)
