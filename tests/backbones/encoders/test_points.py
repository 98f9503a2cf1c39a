"""Laws of the autoencoder of molecules: symmetries, positions of mean zero, padding, layouts, and what it can learn."""

from __future__ import annotations

import pytest
import torch
from clouds import K, awaken, dense, far, orthogonal, packed, turned
from torch import Tensor

from polydiff.backbones.config import PointAutoencoderConfig
from polydiff.backbones.encoders.points import PointAutoencoder
from polydiff.contract.backbone import build_backbone
from polydiff.contract.sections.training import EncodeConfig
from polydiff.core.objective import Moment
from polydiff.core.space import Batch
from polydiff.core.streams import stream, streams
from polydiff.domains.molecule.space import DenseMolecules
from polydiff.encode.module import Encoder
from polydiff.encode.objective import Reconstruct
from polydiff.support.errors import UserError

SMALL = PointAutoencoderConfig(codes=2, hidden=16, encoder_layers=2, layers=2, radial=8, coords_range=4)
precisions = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=["float32", "float64"]
)


def autoencoder(dtype: torch.dtype = torch.float64) -> Encoder:
    """Return an autoencoder with random weights."""
    network = build_backbone(SMALL, channels=K, dims=3, conditions={})
    return Encoder(awaken(network).to(dtype))


def molecules(dtype: torch.dtype = torch.float64) -> tuple[Tensor, DenseMolecules]:
    x, _, space, _ = dense(dtype)
    return x, space


@precisions
@pytest.mark.parametrize("reflects", [False, True])
def test_encoder_and_decoder_turn_with_the_molecule(dtype: torch.dtype, tolerance: float, reflects: bool) -> None:
    net, (x, space) = autoencoder(dtype), molecules(dtype)
    turn = orthogonal(1, dtype, reflects)
    codes, other = net.encode(x, space), net.encode(turned(x, turn), space)
    assert far(other.mean, turned(codes.mean, turn)) < tolerance
    assert far(other.log_variance, codes.log_variance) < tolerance
    z = codes.draw(streams(0, "codes", range(space.batch)))
    assert far(net.decode(turned(z, turn), space), turned(net.decode(z, space), turn)) < tolerance


@precisions
def test_they_keep_the_order_of_atoms(dtype: torch.dtype, tolerance: float) -> None:
    net, (x, space) = autoencoder(dtype), molecules(dtype)
    one, last = x[3:4], int(space.sizes[3])
    alone = DenseMolecules.of_sizes(space.sizes[3:4], K, dtype)
    order = torch.randperm(last, generator=stream(0, "order"))
    mean, made = net.encode(one, alone).mean, net(one, alone)
    assert far(net.encode(one[:, order], alone).mean, mean[:, order]) < tolerance
    assert far(net(one[:, order], alone), made[:, order]) < tolerance


def test_positions_have_mean_zero_and_padding_is_zero() -> None:
    net, (x, space) = autoencoder(), molecules()
    codes = net.encode(x, space)
    z = codes.draw(streams(0, "codes", range(space.batch)))
    for state in (codes.mean, z, net.decode(z, space)):
        assert state[..., :3].sum(1).abs().max() < 1e-12
        assert not state[~space.mask].any()


def test_neither_padding_nor_layout_nor_neighbours_in_the_batch_change_a_molecule() -> None:
    net, (x, space) = autoencoder(), molecules()
    mean, made = net.encode(x, space).mean, net(x, space)
    stacked = packed(space)
    assert far(net.encode(x[space.mask], stacked).mean, mean[space.mask]) < 1e-10
    assert far(net(x[space.mask], stacked), made[space.mask]) < 1e-10
    last = int(space.sizes[2])
    alone = DenseMolecules.of_sizes(space.sizes[2:3], K, torch.float64)
    assert far(net.encode(x[2:3, :last], alone).mean, mean[2:3, :last]) < 1e-10
    assert far(net(x[2:3, :last], alone), made[2:3, :last]) < 1e-10


def test_what_it_learned_returns_elements_and_positions() -> None:
    sizes = torch.tensor([3, 4, 5, 6]).repeat(4)
    space = DenseMolecules.of_sizes(sizes, K)
    r = space.noise(streams(0, "toy", range(len(sizes))))[..., :3]
    kinds = torch.randint(K, space.mask.shape, generator=stream(0, "kinds"))
    x = space.project(torch.cat([r, 2 * torch.nn.functional.one_hot(kinds, K) - 0.5], -1).float())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Encoder(build_backbone(SMALL, channels=K, dims=3, conditions={}))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    objective, u = Reconstruct(EncodeConfig(noise=0.02)), torch.rand(len(sizes), generator=stream(0, "u"))
    for step in range(250):
        optimizer.zero_grad()
        generators = streams(step, "noise", range(len(sizes)))
        objective(net, Batch(x, space), u, generators, Moment(step, 250, None)).losses.mean().backward()
        optimizer.step()
    made = net(x, space)[space.mask]
    assert (made[:, 3:].argmax(-1) == kinds[space.mask]).float().mean() > 0.98
    assert (made[:, :3] - x[space.mask][:, :3]).square().mean().sqrt() < 0.1


def test_without_elements_there_is_nothing_to_encode() -> None:
    with pytest.raises(UserError, match=r"Take data\.types=generated"):
        PointAutoencoder(SMALL, channels=0, dims=3, conditions={})
