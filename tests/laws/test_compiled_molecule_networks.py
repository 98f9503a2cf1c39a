"""Compiled networks of molecules: how many pieces of code, and the same function."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from clouds import K, dense, far, packed
from torch import Tensor, nn

from polydiff.backbones.config import EGNNConfig, GraphTransformerConfig, MoleculeNetConfig
from polydiff.contract.backbone import build_backbone
from polydiff.core.streams import streams
from polydiff.domains.molecule.space import DenseMolecules

Awake = Callable[..., nn.Module]
SMALL: dict[str, MoleculeNetConfig] = {
    "egnn": EGNNConfig(hidden=8, layers=3, radial=2),
    "graph_transformer": GraphTransformerConfig(hidden=8, layers=3, radial=2, pair=4, vectors=4, heads=2),
}
networks = pytest.mark.parametrize("name", SMALL)


def small(name: str, dtype: torch.dtype = torch.float64, **options: object) -> nn.Module:
    config = SMALL[name].model_copy(update=options)
    return build_backbone(config, channels=K, dims=3, conditions={"size": 3, "logp": 0}).to(dtype)


@pytest.fixture
def graphs() -> Iterator[list[Callable[..., Any]]]:
    """What is compiled while a test runs."""
    torch._dynamo.reset()
    yield []
    torch._dynamo.reset()


@networks
@pytest.mark.parametrize("layout", ["dense", "packed"])
def test_batches_of_any_sizes_share_compiled_code(
    name: str, layout: str, graphs: list[Callable[..., Any]], awake: Awake
) -> None:
    """Two pieces: one for the first layer, whose positions need no gradient, one for all others."""

    def backend(module: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        graphs.append(module.forward)
        return module.forward

    network, plain = (awake(small(name, recompute=layout == "packed")) for _ in range(2))
    network.compile(backend=backend)
    for sizes in ([3, 6], [4, 2, 7], [6, 6], [2, 3, 4, 9]):
        x, log_sigma, space, cond = dense(sizes=torch.tensor(sizes))
        where, x = (space, x) if layout == "dense" else (packed(space), x[space.mask])
        f, g = (net(x, log_sigma, where, cond) for net in (network, plain))
        torch.testing.assert_close(f, g, rtol=1e-12, atol=1e-12)
        f.square().sum().backward()
    assert len(graphs) == 2


@networks
def test_fixed_shapes_are_as_many_as_padded_sizes(name: str, graphs: list[Callable[..., Any]], awake: Awake) -> None:
    def backend(module: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        graphs.append(module.forward)
        return module.forward

    network = awake(small(name))
    network.compile(backend=backend, dynamic=False)
    with torch.no_grad():
        for largest in range(5, 13):
            space = DenseMolecules.of_sizes(torch.tensor([3, largest]), K, torch.float64, multiple=4)
            network(space.noise(streams(0, "fixed", range(2))), torch.zeros(2, dtype=torch.float64), space, None)
    assert len(graphs) == 2  # of 8 and of 12 atoms


@networks
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None and shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_compiled_is_the_same_function(name: str, graphs: list[Callable[..., Any]], awake: Awake) -> None:
    x, log_sigma, space, cond = dense(torch.float32, torch.tensor([9, 3, 12]))
    network, plain = (awake(small(name, torch.float32)) for _ in range(2))
    network.compile()
    for net in (network, plain):
        net(x[space.mask], log_sigma, packed(space), cond).square().sum().backward()
    for (key, p), q in zip(network.named_parameters(), plain.parameters(), strict=True):
        assert far(p.grad, q.grad) < 1e-3, key
    with torch.no_grad():
        f, g = (net(x[space.mask], log_sigma, packed(space), cond) for net in (network, plain))
    assert far(f, g) < 1e-4
