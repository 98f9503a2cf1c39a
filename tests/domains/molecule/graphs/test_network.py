"""The network of molecules with bonds: equivariance, symmetry, padding, and walks along bonds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from polydiff.config.merge import resolve
from polydiff.core.parts.product import Product
from polydiff.core.streams import streams
from polydiff.domains.molecule.domain import MoleculeDomain
from polydiff.domains.molecule.graphs.network import counts, one_hot, walks
from polydiff.parts.network import LEVEL

SMALL = {
    "data.max_heavy": 4, "backbone.hidden": 16, "backbone.layers": 2, "backbone.pair": 8, "backbone.vectors": 8,
}  # fmt: skip
LOOSE = {"atol": 1e-9, "rtol": 1e-7}


def inputs(
    domain: MoleculeDomain, sizes: tuple[int, ...], width: int | None = None
) -> tuple[dict[str, Tensor], Product]:
    """Random positions and letters, masks included."""
    space = domain.codec.space(torch.tensor(sizes if width is None else (*sizes, width)))
    draw = streams(0, "x", range(space.batch))
    x = space.noise(draw)
    for name, letters in (("atoms", space.parts["atoms"].letters), ("bonds", space.parts["bonds"].letters)):
        masked = space.parts[name].uniforms(draw) < 0.3
        x[name] = space.parts[name].clean(torch.where(masked, letters, x[name]))
    if "positions" in x:
        x["positions"] = x["positions"].double()
    return x, space


def network_of(domain: MoleculeDomain) -> nn.Module:
    """A network with weights that are not 0."""
    torch.manual_seed(0)
    network = domain.backbone().double()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return network.eval()


def called(network: nn.Module, x: dict[str, Tensor], space: Product) -> dict[str, Tensor]:
    level = torch.linspace(-1, 1, space.batch, dtype=torch.float64)
    with torch.no_grad():
        return network(x, level, space, None)


def test_positions_are_equivariant_and_logits_invariant_under_rotation(placed: MoleculeDomain) -> None:
    network = network_of(placed)
    x, space = inputs(placed, (6, 4))
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64))[0]
    out, turned = called(network, x, space), called(network, {**x, "positions": x["positions"] @ turn}, space)
    assert torch.allclose(turned["positions"], out["positions"] @ turn, **LOOSE)
    for name in ("atoms", "bonds"):
        assert torch.allclose(turned[name], out[name], **LOOSE)
        assert float(out[name].std()) > 0.01


@pytest.mark.parametrize("which", ["placed", "graphs"])
def test_all_parts_are_equivariant_under_permutations(which: str, request: pytest.FixtureRequest) -> None:
    domain: MoleculeDomain = request.getfixturevalue(which)
    network = network_of(domain)
    x, space = inputs(domain, (6,))
    order = torch.tensor([3, 0, 5, 1, 4, 2])

    def permuted(parts: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: y[:, order][:, :, order] if name == "bonds" else y[:, order] for name, y in parts.items()}

    out, moved = permuted(called(network, x, space)), called(network, permuted(x), space)
    for name, y in out.items():
        assert torch.allclose(moved[name], y, **LOOSE)


def test_given_elements_move_with_their_atoms() -> None:
    config = resolve("molecule", values={**SMALL, "data.bonds": True, "data.types": "given", "device": "cpu"}).config
    domain = MoleculeDomain(config)
    network, order = network_of(domain), torch.tensor([3, 1, 0, 2])
    numbers = torch.tensor([6, 1, 8, 1])
    sizes = torch.tensor([4])
    space, moved, other = (domain.codec.space(sizes, z) for z in (numbers, numbers[order], torch.tensor([6, 1, 7, 1])))
    draw = streams(0, "x", range(1))
    x = space.noise(draw)
    x["positions"] = x["positions"].double()
    permuted = {"positions": x["positions"][:, order], "bonds": x["bonds"][:, order][:, :, order]}
    out, turned, changed = called(network, x, space), called(network, permuted, moved), called(network, x, other)
    assert out.keys() == {"positions", "bonds"}
    assert torch.allclose(turned["positions"], out["positions"][:, order], **LOOSE)
    assert torch.allclose(turned["bonds"], out["bonds"][:, order][:, :, order], **LOOSE)
    assert not torch.allclose(changed["bonds"], out["bonds"], **LOOSE)


def test_logits_of_bonds_are_symmetric(placed: MoleculeDomain) -> None:
    x, space = inputs(placed, (6, 3))
    out = called(network_of(placed), x, space)["bonds"]
    assert torch.allclose(out, out.transpose(1, 2), **LOOSE)


def test_other_molecules_and_padding_change_nothing(placed: MoleculeDomain) -> None:
    network = network_of(placed)
    x, space = inputs(placed, (4,))
    wide = placed.codec.space(torch.tensor([4, 7]))
    padded = wide.noise(streams(3, "x", range(2)))
    padded["positions"] = padded["positions"].double()
    for name in x:
        part = padded[name]
        part[(0, *(slice(4),) * (2 if name == "bonds" else 1))] = x[name][0]
    level = torch.zeros(2, dtype=torch.float64)
    with torch.no_grad():
        both, alone = network(padded, level, wide, None), network(x, level[:1], space, None)
    assert torch.allclose(both["positions"][0, :4], alone["positions"][0], **LOOSE)
    assert torch.allclose(both["atoms"][0, :4], alone["atoms"][0], **LOOSE)
    others = ~torch.eye(4, dtype=torch.bool)
    assert torch.allclose(both["bonds"][0, :4, :4][others], alone["bonds"][0][others], **LOOSE)


def test_walks_know_the_ring() -> None:
    """On a ring of four, a walk of two steps returns with probability 1/2, and never ends next door."""
    ring = torch.zeros(1, 4, 4)
    for i in range(4):
        ring[0, i, (i + 1) % 4] = ring[0, (i + 1) % 4, i] = 1
    found = walks(ring)[0]
    assert found[0, 1, 0] == 0.5
    assert found[0, 1, 1] == 0
    assert found[0, 2, 1] == 0.5
    assert found[0, 1, 8 + 1] == found[0, 1, 16 + 1] == 0.5


def test_levels_of_followers_change_the_outputs() -> None:
    values = {**SMALL, "data.bonds": True, "parts.bonds.process": "uniform", "coupling": {"same": 0.5, "apart": 0.5}}
    domain = MoleculeDomain(resolve("molecule", values=values).config)
    network = network_of(domain)
    x, space = inputs(domain, (5, 5))
    x["bonds"] = x["bonds"].clamp(max=3)
    level = torch.zeros(2, dtype=torch.float64)

    def out(bonds: float) -> Tensor:
        with torch.no_grad():
            return network(x, level, space, {LEVEL + "bonds": torch.full_like(level, bonds)})["bonds"]

    assert not torch.allclose(out(-2.0), out(2.0))


def test_atoms_get_the_bonds_that_are_known_and_the_pairs_that_are_masked() -> None:
    ethene = torch.tensor([[0, 2, 1, 4], [2, 0, 0, 1], [1, 0, 0, 4], [4, 1, 4, -1]])  # 4: masked, -1: outside
    known = counts(one_hot(ethene, 4, torch.zeros(1))[None])[0]
    assert torch.equal(4 * known[:3], torch.tensor([[1.0, 1, 0, 1], [1, 1, 0, 0], [1, 0, 0, 1]]))
