"""Lists of pairs: all, or those nearer than a cut-off; and networks that see no jump where an atom crosses it."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch
from clouds import K, dense, packed
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from polydiff.backbones.config import EGNNConfig, GraphTransformerConfig, MoleculeNetConfig
from polydiff.backbones.molecules.graphs import DensePairs, SparsePairs, all_pairs, envelope, pairs_of
from polydiff.contract.backbone import build_backbone
from polydiff.core.space import Euclidean
from polydiff.core.streams import streams
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.support.errors import UserError

Awake = Callable[..., nn.Module]
SMALL: dict[str, MoleculeNetConfig] = {
    "egnn": EGNNConfig(hidden=16, layers=2, radial=4),
    "graph_transformer": GraphTransformerConfig(hidden=16, layers=2, radial=4, pair=8, vectors=4, heads=2),
}


def network(name: str, within: float | None) -> nn.Module:
    config = SMALL[name].model_copy(update={"neighbours_within": within})
    return build_backbone(config, channels=K, dims=3, conditions={}).double()


def test_the_envelope_is_smooth() -> None:
    """1 up to 3/4 of the cut-off, 0 from it on, and two derivatives that do not jump."""
    d = torch.linspace(0, 3, 3001, dtype=torch.float64)
    c = envelope(torch.stack([d, 0 * d, 0 * d], -1), 2.0)
    assert (c[d < 1.499] == 1).all()
    assert (c[d > 2.001] == 0).all()
    assert (c.diff() <= 1e-12).all()
    slope = c.diff() / 1e-3
    assert slope.diff().abs().max() < 0.03
    assert (slope.diff() / 1e-3).diff().abs().max() < 0.6


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("layout", ["dense", "packed"])
def test_nothing_jumps_where_an_atom_crosses_the_cut_off(name: str, layout: str, awake: Awake) -> None:
    net = awake(network(name, 2.0))
    sizes = torch.tensor([4])
    space = DenseMolecules.of_sizes(sizes, K, torch.float64)
    x = space.noise(streams(0, "molecule", [0]))
    where = space if layout == "dense" else packed(space)
    level = torch.zeros(1, dtype=torch.float64)

    def at(d: Tensor) -> Tensor:
        """The output where the last atom lies at this distance from the first, along the line between them."""
        y = x[0].clone()
        y[3, :3] = y[0, :3] + d * (x[0, 3, :3] - x[0, 0, :3]) / (x[0, 3, :3] - x[0, 0, :3]).norm()
        out: Tensor = net(y[None] if layout == "dense" else y, level, where).reshape(4, -1)
        return out

    for edge in (1.5, 2.0):
        gaps = [
            float((at(torch.tensor(edge + e)) - at(torch.tensor(edge - e))).detach().abs().max()) for e in (1e-3, 1e-6)
        ]
        assert gaps[1] < 2e-3 * gaps[0] + 1e-9  # as a smooth function's, not as a step's


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("layout", ["dense", "packed"])
def test_a_cut_off_beyond_the_molecule_changes_nothing(name: str, layout: str, awake: Awake) -> None:
    x, log_sigma, space, _ = dense()
    where, x = (space, x) if layout == "dense" else (packed(space), x[space.mask])
    far, none, near = (awake(network(name, within))(x, log_sigma, where) for within in (50.0, None, 1.5))
    torch.testing.assert_close(far, none, rtol=1e-12, atol=1e-12)
    assert (near - none).abs().max() > 1e-2


def test_the_list_is_made_anew_from_the_positions_of_each_call() -> None:
    space = PackedMolecules.of_sizes(torch.tensor([5, 3]), K)
    r = torch.zeros(8, 3)
    r[:, 0] = torch.arange(8.0)
    first = pairs_of(space, r, 1.5)
    assert isinstance(first, SparsePairs)
    assert first.receiver.tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 6, 7]
    spread = pairs_of(space, 2 * r, 1.5)
    assert isinstance(spread, SparsePairs)
    assert len(spread.receiver) == 0


@pytest.mark.parametrize("name", SMALL)
def test_atoms_without_neighbours_stay_finite(name: str, awake: Awake) -> None:
    net = awake(network(name, 0.01))
    x, log_sigma, space, _ = dense()
    for where, state in ((space, x), (packed(space), x[space.mask])):
        own = state.clone().requires_grad_()
        f = net(own, log_sigma, where)
        f.square().sum().backward()
        assert f.isfinite().all()
        assert own.grad is not None
        assert own.grad.isfinite().all()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_all_pairs(sizes: list[int]) -> None:
    index = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    receiver, sender = all_pairs(index, torch.tensor(sizes))
    pairs = list(zip(receiver.tolist(), sender.tolist(), strict=True))
    m = len(index)
    assert pairs == [(i, j) for i in range(m) for j in range(m) if i != j and index[i] == index[j]]


def test_layout_follows_the_space() -> None:
    _, _, space, _ = dense()
    assert isinstance(pairs_of(space), DensePairs)
    stacked = packed(space)
    assert isinstance(pairs_of(stacked), SparsePairs)
    assert pairs_of(stacked) is pairs_of(stacked)  # listed once
    assert pairs_of(packed(space)) is not pairs_of(stacked)
    with pytest.raises(TypeError, match="is no space of molecules"):
        pairs_of(Euclidean(1, (3,)))


@pytest.mark.parametrize("name", SMALL)
def test_a_space_that_was_used_without_gradients_has_gradients(name: str) -> None:
    space = PackedMolecules.of_sizes(torch.tensor([3, 1, 4]), K, torch.float64)
    net, x, log_sigma = network(name, None), torch.randn(8, 3 + K, dtype=torch.float64), torch.zeros(3).double()
    with torch.inference_mode():
        net(x, log_sigma, space)
    net(x.requires_grad_(), log_sigma, space).sum().backward()
    assert x.grad is not None


def test_packed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_geometric.utils", None)
    with pytest.raises(UserError, match=r"polydiff\[molecule\]"):
        pairs_of(packed(dense()[2]))
