"""The EGNN: one layer against its formula."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from polydiff.backbones.config import EGNNConfig
from polydiff.backbones.molecules.egnn import Layer
from polydiff.backbones.molecules.geometry import Geometry
from polydiff.backbones.molecules.graphs import DensePairs
from polydiff.core.streams import stream

Awake = Callable[..., nn.Module]


def test_one_layer_is_its_formula(awake: Awake) -> None:
    """Against loops over atoms, with the concatenation [u_i, u_j, e_ij] written out."""
    config = EGNNConfig(hidden=8, layers=1)
    layer, n = awake(Layer(config, Geometry(radial=2, cutoff=2.0)).double()), 6
    assert isinstance(layer, Layer)
    draw = stream(0, "layer")
    h, r, before = (torch.randn(1, *s, generator=draw, dtype=torch.float64) for s in ((n, 8), (n, 3), (n, n, 3)))
    c = torch.randn(1, 8, generator=draw, dtype=torch.float64)
    pairs = DensePairs(torch.ones(1, n, dtype=torch.bool))
    new_h, new_r = layer(pairs, h, r, c, before, torch.tensor([[[n - 1.0]]]))

    scale, shift = layer.modulation(c)[0].chunk(2)
    u = (1 + scale) * functional.layer_norm(h[0], (8,)) + shift
    joined = torch.cat([layer.receiver.weight, layer.sender.weight, layer.edge.weight], 1)
    gate, weight = layer.heads.weight
    for i in range(n):
        gathered, moved = torch.zeros(8, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
        for j in set(range(n)) - {i}:
            difference = r[0, i] - r[0, j]
            d = difference.norm()
            now = torch.stack([d**2, (-0.5 * (d / 2) ** 2).exp(), (-0.5 * ((d - 2) / 2) ** 2).exp()])
            first = joined @ torch.cat([u[i], u[j], now, before[0, i, j]]) + layer.receiver.bias
            m = functional.silu(layer.message(functional.silu(first)))
            gathered += torch.sigmoid(gate @ m) * m / (n - 1)
            moved += difference / (d + 1) * config.coords_range * torch.tanh(weight @ m) / (n - 1)
        torch.testing.assert_close(new_h[0, i], h[0, i] + layer.update(torch.cat([u[i], gathered])))
        torch.testing.assert_close(new_r[0, i], r[0, i] + moved)
