"""Channels, scale and rate of codes of points against closed forms, in both layouts."""

from __future__ import annotations

import math

import pytest
import torch
from clouds import dense, packed
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from polydiff.core.space import Euclidean, Space
from polydiff.core.streams import streams
from polydiff.domains.molecule.space import DenseMolecules
from polydiff.encode.codes import Moments, channel_std, channels_and_dims, code_space, nats, over_channels
from polydiff.testing import check_space


def basis(n: int) -> Tensor:
    """Return an orthonormal basis (3 (n - 1), 3 n) of positions with mean zero."""
    centre = torch.eye(n, dtype=torch.float64) - 1 / n
    return torch.kron(torch.linalg.eigh(centre).eigenvectors[:, 1:].T.contiguous(), torch.eye(3, dtype=torch.float64))


def test_rate_is_the_divergence_in_the_space_of_positions_with_mean_zero() -> None:
    n, variance = 4, 0.3
    space = DenseMolecules.of_sizes(torch.tensor([n]), 2, torch.float64, multiple=6)
    mean = space.noise(streams(0, "mean", [0]))
    log_variance = torch.randn(mean.shape, dtype=torch.float64)
    log_variance[..., :3] = math.log(variance)
    base = basis(n)
    where = torch.cat([base @ mean[0, :n, :3].flatten(), mean[0, :n, 3:].flatten()])
    spread = torch.cat([torch.full((3 * (n - 1),), variance), log_variance[0, :n, 3:].exp().flatten()])
    standard = MultivariateNormal(torch.zeros_like(where), torch.eye(len(where), dtype=torch.float64))
    exact = kl_divergence(MultivariateNormal(where, torch.diag(spread)), standard) / len(where)
    torch.testing.assert_close(nats(mean, log_variance, space), exact[None])


@pytest.mark.parametrize("layout", ["dense", "packed"])
def test_positions_are_one_channel_and_each_feature_another(layout: str) -> None:
    x, _, padded, _ = dense()
    space: Space = padded if layout == "dense" else packed(padded)
    shift = torch.tensor([0.0, 1.0, -1.0, 5.0, 2.0], dtype=torch.float64)
    std = torch.tensor([2.0, 0.5, 1.0, 3.0, 1.0], dtype=torch.float64)
    x = x if layout == "dense" else x[padded.mask]
    z = space.project(x * over_channels(std, x, space) + over_channels(shift, x, space))
    atoms = z[padded.mask] if layout == "dense" else z
    found = Moments.of(z, space)
    torch.testing.assert_close(found.mean[1:], atoms[:, 3:].mean(0))
    torch.testing.assert_close(found.std[1:], atoms[:, 3:].std(0, correction=0))
    free = 3 * (padded.sizes - 1).sum()
    torch.testing.assert_close(found.std[0], (atoms[:, :3].square().sum() / free).sqrt())
    assert found.mean[0] == 0
    assert channel_std(z, space).tolist() == [*[found.std[0]] * 3, *found.std[1:].tolist()]


def test_moments_of_parts_add_up() -> None:
    z, space = torch.randn(6, 3, 4, 4), Euclidean(6, (3, 4, 4))
    parts = Moments.of(z[:2], Euclidean(2, (3, 4, 4))) + Moments.of(z[2:], Euclidean(4, (3, 4, 4)))
    torch.testing.assert_close(parts.std, Moments.of(z, space).std)
    torch.testing.assert_close(parts.mean, z.double().mean((0, 2, 3)))


def test_codes_live_in_the_space_of_the_same_points() -> None:
    _, _, space, _ = dense()
    codes = code_space(torch.zeros(*space.mask.shape, 3 + 2), space)
    assert isinstance(codes, DenseMolecules)
    assert channels_and_dims(codes) == (2, 3)
    assert torch.equal(codes.sizes, space.sizes)
    check_space(codes)
