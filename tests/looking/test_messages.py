"""Tests of `polydiff.looking.messages`: norms against the layers' own sums, kinds of pairs, no side effects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from rdkit import Chem
from torch import Tensor
from untrained import SMALL, untrained

from polydiff.backbones.config import EGNNConfig, GraphTransformerConfig
from polydiff.backbones.molecules import egnn, graph_transformer
from polydiff.backbones.molecules.geometry import Geometry
from polydiff.backbones.molecules.graphs import DensePairs, SparsePairs
from polydiff.looking.capture import message_matrices, sending_layers
from polydiff.looking.messages import Messages, messages, share, times_even
from polydiff.looking.page import look
from polydiff.looking.subject import LEVELS, Subject
from polydiff.model.model import Model

N = 4


@pytest.fixture(scope="module", params=["graph_transformer", "egnn"])
def molecules(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    own = {**SMALL["molecule"], "backbone.name": request.param, "device": "cpu", "sample.steps": 2}
    return Model.load(untrained(tmp_path_factory.mktemp(request.param) / "run", "molecule", **own))


def random_layer(layer: torch.nn.Module) -> Any:
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=draw))
    return layer.double().eval()


def numbers(*shape: int) -> Tensor:
    return torch.randn(1, *shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def alone(i: int, j: int, r: Tensor) -> DensePairs:
    """Return pairs of which only the message from j to i counts."""
    pairs = DensePairs(torch.ones(1, N, dtype=torch.bool), r)
    pairs.weight = torch.zeros_like(pairs.weight)
    pairs.weight[0, i, j] = 1
    return pairs


def test_a_message_of_the_egnn_is_what_atoms_gather_if_it_is_the_only_one() -> None:
    layer = random_layer(egnn.Layer(EGNNConfig(hidden=8, layers=1), Geometry(radial=2, cutoff=2.0)))
    h, r, c, before, count = numbers(N, 8), numbers(N, 3), numbers(8)[0][None], numbers(N, N, 3), torch.ones(1, N, 1)
    pairs = DensePairs(torch.ones(1, N, dtype=torch.bool), r)
    (found,) = layer.message_sizes(pairs, h, r, c, before, count)
    u = layer.modulated(pairs, h, c)
    for i, j in ((0, 1), (3, 2)):
        gathered, _ = layer.gather(alone(i, j, r), layer.receiver(u), layer.sender(u), r, before)
        torch.testing.assert_close(found[i, j], gathered[0, i].norm())
    assert found.diagonal().tolist() == [0.0] * N


def test_a_message_of_the_graph_transformer_is_what_heads_pass_on_if_it_is_the_only_one() -> None:
    config = GraphTransformerConfig(hidden=8, layers=1, heads=2, pair=4, vectors=4)
    layer = random_layer(graph_transformer.Layer(config, Geometry(radial=2, cutoff=2.0)))
    h, v, r, e, c = numbers(N, 8), numbers(N, 3, 4), numbers(N, 3), numbers(N, N, 4), numbers(8)[0][None]
    pairs = DensePairs(torch.ones(1, N, dtype=torch.bool), r)
    (found,) = layer.message_sizes(pairs, h, v, r, e, c, torch.ones(1, N, 1))
    _, q, k, value, a, b = layer.entered(pairs, h, v, r, c)
    for i, j in ((0, 1), (3, 2)):
        _, mixed, _ = layer.gather(alone(i, j, r), q, k, value, a, b, r, e)
        torch.testing.assert_close(found[i, j], mixed[0, i].norm())


def test_matrices_of_packed_and_of_padded_molecules_agree() -> None:
    sizes = torch.tensor([3, 1, 4])
    packed = SparsePairs(torch.arange(3).repeat_interleave(sizes), 3)
    dense = DensePairs(torch.arange(4) < sizes[:, None])
    a, b = torch.randn(8, 1), torch.randn(8, 1)
    padded = [torch.zeros(3, 4, 1).index_put((dense.mask,), one) for one in (a, b)]
    sparse = packed.matrices(packed.combine(a, b)[:, 0])
    for one, other in zip(sparse, dense.matrices(dense.combine(*padded)[..., 0]), strict=True):
        torch.testing.assert_close(one, other)
    assert [len(one) for one in sparse] == [3, 1, 4]


def test_kinds_of_pairs_have_the_weight_1_under_even_shares_and_their_ratio_under_planted_ones() -> None:
    ring = torch.diag_embed(torch.ones(4), 1)[:4, :4] + torch.diag_embed(torch.ones(3), 1)
    near = (ring + ring.mT) > 0
    kinds = [{"near": near, "far": ~near & ~torch.eye(4, dtype=torch.bool), "none": torch.zeros(4, 4).bool()}]
    even, planted = share(1 - torch.eye(4)), share(3.0 * near + kinds[0]["far"])
    found = times_even(Messages([2.0, 1.0], {"layer": [[even], [planted]]}), kinds)
    assert found.keys() == {"near", "far"}
    assert found["near"]["layer"][0] == pytest.approx(1)
    assert found["far"]["layer"][0] == pytest.approx(1)
    exact = float((planted * near).sum() / (near.sum() / 3))
    assert float(found["near"]["layer"][1]) == pytest.approx(exact)
    torch.testing.assert_close(planted.sum(1), torch.ones(4))


def test_messages_of_a_model_are_shares_and_leave_its_samples_as_they_are(molecules: Model) -> None:
    before = molecules.sample(3, seed=1).examples
    subject = Subject(molecules)
    batch = subject.examples()
    found = messages(subject, batch)
    layers = sending_layers(molecules.denoiser)
    assert list(found.shares) == list(layers)
    assert layers
    for by_level in found.shares.values():
        assert len(by_level) == LEVELS
        for w, n in zip(by_level[0], batch.space.sizes.tolist(), strict=True):  # type: ignore[attr-defined]
            assert w.shape == (n, n)
            torch.testing.assert_close(w.sum(1), torch.ones(n))
    after = molecules.sample(3, seed=1).examples
    assert all((a.positions == b.positions).all() for a, b in zip(before, after, strict=True))
    with message_matrices(molecules.denoiser):
        assert all(layer._forward_hooks for layer in layers.values())
    assert not any(layer._forward_hooks for layer in layers.values())


def test_relations_are_numbers_of_bonds_between_atoms(molecules: Model) -> None:
    samples = molecules.domain.examples("test", 3)
    for one, kinds in zip(samples.examples, molecules.domain.relations(samples), strict=True):  # type: ignore[attr-defined]
        apart = sum(kinds.values())
        assert torch.equal(apart, 1 - torch.eye(len(one.numbers), dtype=torch.long))
        heavy = [i for i, number in enumerate(one.numbers) if number == Chem.Atom("H").GetAtomicNum()]
        assert all(int(kinds["a bond apart"][i].sum()) == 1 for i in heavy)


def test_the_view_draws_atoms_and_measures_bonds(molecules: Model, tmp_path: Path) -> None:
    found = look(molecules, only=["attention"])
    (view,) = found.views
    assert view.numbers["times_even"].keys() >= {"a bond apart", "2 bonds"}
    assert "no softmax attention" in view.note
    assert view.html.count("<circle") > 100
