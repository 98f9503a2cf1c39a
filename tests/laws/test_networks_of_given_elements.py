"""Networks of molecules whose elements the space gives: states are positions alone (K = 0), and the same laws hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from clouds import far, orthogonal
from torch import Tensor, nn

from polydiff.backbones.config import EGNNConfig, GraphTransformerConfig, MoleculeNetConfig
from polydiff.contract.backbone import build_backbone
from polydiff.core.conditions import ESTIMATE
from polydiff.core.streams import streams
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules

SMALL: dict[str, MoleculeNetConfig] = {
    "egnn": EGNNConfig(hidden=16, layers=2, radial=4),
    "graph_transformer": GraphTransformerConfig(hidden=16, layers=2, radial=4, pair=1, vectors=4, heads=2),
}
SIZES = torch.tensor([1, 5, 2, 3])


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("options", [{}, {"self_condition": True, "variance": True}, {"neighbours_within": 1.5}])
def test_equivariant_and_equal_in_both_layouts(
    name: str, options: dict[str, object], awake: Callable[..., nn.Module]
) -> None:
    config = SMALL[name].model_copy(update=options)
    net = awake(build_backbone(config, channels=0, dims=3, conditions={}).double())
    space = DenseMolecules.of_sizes(SIZES, 0, torch.float64)
    elements = torch.arange(1, 21).reshape(4, 5) * space.mask
    space = replace(space, elements=elements)
    stacked = replace(PackedMolecules.of_sizes(SIZES, 0, torch.float64), elements=elements[space.mask])
    x, earlier = space.noise(streams(0, "x", range(4))), space.noise(streams(0, "earlier", range(4)))
    log_sigma = torch.linspace(-5, 4, 4, dtype=torch.float64)

    def call(x: Tensor, earlier: Tensor, where: DenseMolecules | PackedMolecules) -> tuple[Tensor, Tensor]:
        """Positions, and numbers that stay as they are when positions turn."""
        f = net(x, log_sigma, where, {ESTIMATE: earlier} if config.self_condition else None)
        return f if isinstance(f, tuple) else (f, torch.ones_like(f))

    f, v = call(x, earlier, space)
    assert f.std() > 0.05
    turn = orthogonal(1, torch.float64, reflects=True)
    turned_f, turned_v = call(x @ turn.mT, earlier @ turn.mT, space)
    assert far(turned_f, f @ turn.mT) < 1e-10
    assert far(turned_v, v) < 1e-10
    stacked_f, stacked_v = call(x[space.mask], earlier[space.mask], stacked)
    assert far(stacked_f, f[space.mask]) < 1e-10
    assert far(stacked_v, v[space.mask]) < 1e-10
    order = torch.tensor([3, 0, 4, 1, 2])
    mixed = replace(space, mask=space.mask[:, order], elements=elements[:, order])
    assert far(call(x[:, order], earlier[:, order], mixed)[0], f[:, order]) < 1e-10
    other = replace(space, elements=torch.where(elements > 0, elements + 1, 0))
    assert far(call(x, earlier, other)[0], f) > 1e-3
