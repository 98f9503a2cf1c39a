"""The graph transformer: one layer against its formula, and what its vectors are for."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from clouds import K
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from polydiff.backbones.config import GraphTransformerConfig
from polydiff.backbones.molecules.geometry import Geometry
from polydiff.backbones.molecules.graph_transformer import GraphTransformer, Layer
from polydiff.backbones.molecules.graphs import DensePairs
from polydiff.core.streams import stream
from polydiff.domains.molecule.space import DenseMolecules

Awake = Callable[..., nn.Module]


def short(v: Tensor) -> Tensor:
    """V' of an atom's vectors (C, 3)."""
    return v / (1 + v.square().sum() / len(v)).sqrt()


def test_one_layer_is_its_formula(awake: Awake) -> None:
    """Against loops over atoms and heads."""
    n, width, pair, c, heads = 5, 8, 6, 4, 2
    config = GraphTransformerConfig(hidden=width, layers=1, pair=pair, vectors=c, heads=heads, coords_range=3.0)
    layer = awake(Layer(config, Geometry(radial=2, cutoff=2.0)).double())
    assert isinstance(layer, Layer)
    draw = stream(0, "layer")
    shapes = ((n, width), (n, 3, c), (n, 3), (n, n, pair), (width,))
    h, v, r, e, c_embed = (torch.randn(1, *s, generator=draw, dtype=torch.float64) for s in shapes)
    pairs = DensePairs(torch.ones(1, n, dtype=torch.bool))
    new_h, new_v, new_r, new_e = layer(pairs, h, v, r, e, c_embed, torch.full((1, n, 1), 2.5, dtype=torch.float64))

    scale, shift = layer.modulation(c_embed)[0].chunk(2)
    u = (1 + scale) * functional.layer_norm(h[0], (width,)) + shift
    *qkv, a, b = layer.enter(u).split([width, width, width, pair, pair], -1)
    vectors = torch.stack([short(x.mT) for x in v[0]])  # (N, C, 3)
    primed = [torch.einsum("dc,ncx->ndx", w, vectors) for w in layer.enter_vectors.weight.chunk(3)]

    def share(x: Tensor, head: int) -> Tensor:
        return x.chunk(heads, 0)[head]

    for i in range(n):
        gathered, carried = torch.zeros(width, dtype=torch.float64), torch.zeros(c, 3, dtype=torch.float64)
        for j in set(range(n)) - {i}:
            difference = r[0, i] - r[0, j]
            d = difference.norm()
            now = torch.stack([d**2, (-0.5 * (d / 2) ** 2).exp(), (-0.5 * ((d - 2) / 2) ** 2).exp()])
            products = []
            for head in range(heads):
                parts = [(share(x[i], head) * share(y[j], head)).sum() for x, y in (qkv[:2], primed[:2])]
                products.append(sum(parts) / (width / heads + 3 * c / heads) ** 0.5)
            z = functional.silu(e[0, i, j] + a[i] + b[j] + layer.edge.weight @ torch.stack([*now, *products]))
            out = layer.weigh(z)
            torch.testing.assert_close(new_e[0, i, j], e[0, i, j] + out[:pair])
            weights, pull = out[pair : pair + heads], out[pair + heads :]
            gathered += torch.cat([w * share(qkv[2][j], head) for head, w in enumerate(weights)]) / 2.5
            carried += torch.cat([w * share(primed[2][j], head) for head, w in enumerate(weights)]) / 2.5
            carried += pull[:, None] * difference / (d + 1) / 2.5
        grown = v[0, i].mT + carried
        first, second = (w @ short(grown) for w in layer.partners.weight.chunk(2))
        hidden = layer.update(torch.cat([u[i], gathered, (first * second).sum(1)]))
        added, gate, move = layer.leave(hidden).split([width, c, c])
        torch.testing.assert_close(new_h[0, i], h[0, i] + added)
        torch.testing.assert_close(new_v[0, i].mT, (1 + gate)[:, None] * grown)
        torch.testing.assert_close(new_r[0, i], r[0, i] + 3.0 / c * (move.tanh()[:, None] * short(grown)).sum(0))


def test_angles_are_seen_where_distances_to_neighbours_are_the_same(awake: Awake) -> None:
    """A square and a rhombus whose near pairs, those within the cut-off, have the same lengths."""
    config = GraphTransformerConfig(hidden=16, layers=2, vectors=8, heads=4, neighbours_within=0.95, radial=4)
    net = awake(GraphTransformer(config, channels=K, dims=3, conditions={})).double()
    space = DenseMolecules.of_sizes(torch.tensor([4]), K, torch.float64)

    def out(angle: float) -> Tensor:
        sides = 0.8 * torch.tensor([[1, 0, 0], [math.cos(angle), math.sin(angle), 0]], dtype=torch.float64)
        corners = torch.stack([0 * sides[0], sides[0], sides.sum(0), sides[1]])
        for one, other in pairwise([*corners, corners[0]]):
            assert (one - other).norm() == pytest.approx(0.8)
        x = torch.cat([corners - corners.mean(0), torch.ones(4, K)], -1)[None]
        f: Tensor = net(x, torch.zeros(1, dtype=torch.float64), space)
        return f[..., 3:]

    assert (out(math.pi / 2) - out(1.3)).abs().max() > 1e-3


def test_heads_share_what_an_atom_has() -> None:
    for wrong in ({"hidden": 30}, {"vectors": 6}):
        with pytest.raises(ValidationError, match=r"heads=4 must divide"):
            GraphTransformerConfig(heads=4, **wrong)
