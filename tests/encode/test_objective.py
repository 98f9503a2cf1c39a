"""The loss of an autoencoder against closed forms."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from polydiff.contract.sections.training import EncodeConfig
from polydiff.core.objective import Moment
from polydiff.core.space import Batch, Euclidean, Space
from polydiff.core.streams import streams
from polydiff.encode.codes import channel_std, nats
from polydiff.encode.module import Codes, Encoder
from polydiff.encode.objective import Reconstruct, shrunk

MOMENT = Moment(0, 1, None)


class Identity(nn.Module):
    """A codec that changes nothing; its codes have a constant log variance.

    Arguments:
        log_variance: Of each number of a code.
    """

    def __init__(self, log_variance: float = -60.0) -> None:
        super().__init__()
        self.log_variance = nn.Parameter(torch.tensor(log_variance))

    def encode(self, x: Tensor, space: Space) -> tuple[Tensor, Tensor]:
        return x, self.log_variance.expand_as(x)

    def decode(self, z: Tensor, space: Space) -> Tensor:
        return z


def outcome(network: nn.Module, x: Tensor, **config: Any) -> Tensor:
    batch, n = Batch(x, Euclidean(len(x), tuple(x.shape[1:]))), len(x)
    u = torch.full((n,), 0.5, dtype=torch.float64)
    return Reconstruct(EncodeConfig(**config))(Encoder(network), batch, u, streams(0, "noise", range(n)), MOMENT).losses


def test_rate_is_the_divergence_from_standard_normal_codes() -> None:
    mean, log_variance = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    exact = kl_divergence(Normal(mean, torch.exp(log_variance / 2)), Normal(0.0, 1.0)).flatten(1).mean(1)
    torch.testing.assert_close(nats(mean, log_variance, Euclidean(3, (2, 4, 4))), exact)


@pytest.mark.parametrize("shape", [(8, 4, 4), (16, 4, 4), (8, 8, 8)])
def test_weights_mean_the_same_for_codes_of_all_sizes(shape: tuple[int, ...]) -> None:
    x = torch.ones(2, *shape)
    losses = outcome(Identity(0.0), x, kl=0.01, noise=0.0)
    error = math.sqrt(2 / math.pi)  # E|e| of the posterior's standard normal noise
    assert losses.mean().item() == pytest.approx(error + 0.01 * 0.5, abs=0.15)
    assert (outcome(Identity(), x, kl=0.0, noise=0.0) < 1e-6).all()


def test_codes_are_draws_of_the_posterior() -> None:
    mean, log_variance = torch.full((4096, 1), 2.0), torch.full((4096, 1), 2 * math.log(0.5))
    z = Codes(mean, log_variance, Euclidean(4096, (1,))).draw(streams(0, "codes", range(4096)))
    assert z.mean().item() == pytest.approx(2.0, abs=0.03)
    assert z.std().item() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("start", "bits"), [(-1.0, 3.0), (-12.0, 0.5)])
def test_a_target_rate_draws_codes_towards_it(start: float, bits: float) -> None:
    network, x, space = Identity(start), torch.zeros(2, 1, 8), Euclidean(2, (1, 8))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.3)
    objective = Reconstruct(EncodeConfig(bits=bits))
    for _ in range(300):
        optimizer.zero_grad()
        objective.rate_loss(nats(*network.encode(x, space), space), MOMENT).mean().backward()
        for group in optimizer.param_groups:
            group["lr"] *= 0.985
        optimizer.step()
    assert nats(*network.encode(x, space), space).mean().item() / math.log(2) == pytest.approx(bits, rel=0.05)


def test_noise_on_codes_scales_with_the_spread_of_their_channel() -> None:
    spread = torch.tensor([1.0, 10.0])[:, None]
    z = torch.randn(64, 2, 32, generator=torch.Generator().manual_seed(1)) * spread
    u, space = torch.ones(64, dtype=torch.float64), Euclidean(64, (2, 32))
    moved = Reconstruct(EncodeConfig(noise=0.2)).disturbed(z, space, u, streams(0, "noise", range(64)), MOMENT) - z
    torch.testing.assert_close(channel_std(moved, space), 0.2 * channel_std(z, space), rtol=0.05, atol=0)
    still = Reconstruct(EncodeConfig(noise=0.2)).disturbed(z, space, 0 * u, streams(0, "noise", range(64)), MOMENT)
    assert torch.equal(still, z)


def test_scale_equivariance_costs_nothing_where_it_holds() -> None:
    x = torch.randn(2, 3, 8, 8)
    assert (outcome(Identity(), x, kl=0.0, noise=0.0, shrink=1.0) < 1e-6).all()
    assert (outcome(Identity(), x[..., :7], kl=0.0, noise=0.0, shrink=1.0) < 1e-6).all()
    assert shrunk(x).shape == (2, 3, 4, 4)
    assert shrunk(x[:, :, 0]).shape == (2, 3, 4)
