"""The EGNN: its symmetries, its two layouts, and one layer against its formula."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from polydiff.backbones.config import EGNNConfig
from polydiff.backbones.egnn import EGNN, Layer
from polydiff.backbones.geometry import Geometry
from polydiff.backbones.graphs import DensePairs, SparsePairs, all_pairs, pairs_of
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.errors import UserError
from polydiff.random import stream, streams
from polydiff.space import Euclidean
from polydiff.testing import check_backbone

Awake = Callable[..., nn.Module]
K = 4
CONFIGS = [
    EGNNConfig(hidden=32, layers=3),
    EGNNConfig(hidden=32, layers=3, radial=0, aggregation="sum", divisor=3.0),
]
SIZES = torch.tensor([1, 2, 7, 12, 5])


def egnn(config: EGNNConfig = CONFIGS[0], dtype: torch.dtype = torch.float64) -> EGNN:
    return EGNN(config, channels=K, dims=3, conditions={"size": 3, "logp": 0}).to(dtype)


def dense(
    dtype: torch.dtype = torch.float64, sizes: Tensor = SIZES
) -> tuple[Tensor, Tensor, DenseMolecules, dict[str, Tensor]]:
    """A state, noise levels, the space, and conditions some of which are not given."""
    space = DenseMolecules.of_sizes(sizes, K, dtype)
    x = space.noise(streams(0, "molecules", range(len(sizes))))
    log_sigma = torch.linspace(-3, 2, len(sizes), dtype=dtype)
    cond = {"size": torch.arange(len(sizes)) % 4 - 1, "logp": torch.linspace(-1, 1, len(sizes), dtype=dtype)}
    cond["logp"][0] = torch.nan
    return x, log_sigma, space, cond


def packed(space: DenseMolecules) -> PackedMolecules:
    return PackedMolecules.of_sizes(space.sizes, K, space.dtype)


def far(a: Tensor, b: Tensor) -> float:
    """The largest difference, in units of b's root mean square."""
    return float((a - b).detach().abs().max() / b.detach().square().mean().sqrt())


def orthogonal(seed: int, dtype: torch.dtype, reflects: bool) -> Tensor:
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=stream(seed, "rotation"), dtype=torch.float64))
    sign = 1 if (torch.linalg.det(q) < 0) == reflects else -1
    return (q * sign).to(dtype)


@pytest.mark.parametrize("config", CONFIGS, ids=["mean", "sum"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=str)
@pytest.mark.parametrize("reflects", [False, True])
def test_equivariant(config: EGNNConfig, dtype: torch.dtype, tolerance: float, reflects: bool, awake: Awake) -> None:
    network = awake(egnn(config, dtype))
    x, log_sigma, space, cond = dense(dtype)
    f = network(x, log_sigma, space, cond)
    assert f[..., :3].std() > 0.05
    assert f[..., 3:].std() > 0.05
    assert far(f, network(x.flip(0), log_sigma, DenseMolecules(space.mask.flip(0), K), cond)) > 0.1

    turn = orthogonal(1, dtype, reflects)
    torch.testing.assert_close(torch.linalg.det(turn), torch.tensor(-1.0 if reflects else 1.0, dtype=dtype))
    turned = torch.cat([x[..., :3] @ turn, x[..., 3:]], -1)
    expected = torch.cat([f[..., :3] @ turn, f[..., 3:]], -1)
    assert far(network(turned, log_sigma, space, cond), expected) < tolerance

    shift = torch.tensor([0.5, -1.0, 0.25] + K * [0.0], dtype=dtype)
    assert far(network(x + shift, log_sigma, space, cond), f) < tolerance

    order = torch.randperm(x.shape[1], generator=stream(2, "order"))
    shuffled = DenseMolecules(space.mask[:, order], K, dtype)
    assert far(network(x[:, order], log_sigma, shuffled, cond), f[:, order]) < tolerance


def test_padding_changes_nothing(awake: Awake) -> None:
    network = awake(egnn())
    x, log_sigma, space, cond = dense()
    f = network(x, log_sigma, space, cond)
    assert not f[~space.mask].any()
    wide = functional.pad(x, (0, 0, 0, 6))
    mask = functional.pad(space.mask, (0, 6))
    wide[~mask] = torch.nan
    g = network(wide, log_sigma, DenseMolecules(mask, K), cond)
    torch.testing.assert_close(g[:, : x.shape[1]], f, rtol=1e-12, atol=1e-12)
    assert not g[~mask].any()
    for i, n in enumerate(SIZES.tolist()):
        alone = DenseMolecules.of_sizes(SIZES[i : i + 1], K, x.dtype)
        here = {name: value[i : i + 1] for name, value in cond.items()}
        h = network(x[i : i + 1, :n], log_sigma[i : i + 1], alone, here)
        torch.testing.assert_close(h[0], f[i, :n], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("config", CONFIGS, ids=["mean", "sum"])
def test_layouts_agree(config: EGNNConfig, awake: Awake) -> None:
    network = awake(egnn(config))
    x, log_sigma, space, cond = dense()
    target = space.noise(streams(1, "target", range(space.batch)))
    outputs, gradients = [], []
    for state, where, wanted in ((x, space, target), (x[space.mask], packed(space), target[space.mask])):
        network.zero_grad()
        f = network(state, log_sigma, where, cond)
        where.sum((f - wanted).square()).sum().backward()
        outputs.append(f)
        gradients.append({name: p.grad.clone() for name, p in network.named_parameters()})
    torch.testing.assert_close(outputs[0][space.mask], outputs[1], rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-9, atol=1e-9)
    assert all(g.any() for g in gradients[0].values())


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


@pytest.mark.parametrize("layout", ["dense", "packed"])
def test_conforms(layout: str) -> None:
    x, _, space, cond = dense(torch.float32)
    where = space if layout == "dense" else packed(space)
    check_backbone(egnn(dtype=torch.float32), where, x if layout == "dense" else x[space.mask], cond)


@pytest.mark.parametrize("layout", ["dense", "packed"])
@pytest.mark.parametrize("n", [1, 2])
def test_smallest_molecules(layout: str, n: int, awake: Awake) -> None:
    sizes = torch.tensor([n, n])
    x, log_sigma, space, cond = dense(sizes=sizes)
    where, x = (space, x) if layout == "dense" else (packed(space), x[space.mask])
    x.requires_grad_()
    network = awake(egnn())
    f = network(x, log_sigma, where, cond)
    f.square().sum().backward()
    assert f.isfinite().all()
    assert f[..., :3].any() == (n == 2)
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in network.parameters())


def test_atoms_in_one_place_have_a_gradient(awake: Awake) -> None:
    x, log_sigma, space, cond = dense(torch.float32)
    x = torch.zeros_like(x).requires_grad_()
    awake(egnn(dtype=torch.float32))(x, log_sigma, space, cond).square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_starts_near_zero() -> None:
    x, log_sigma, space, cond = dense()
    f = egnn()(x, log_sigma, space, cond)
    assert not f[..., 3:].any()
    assert 0 < f[..., :3].abs().max() < 0.05


@pytest.mark.parametrize("layout", ["dense", "packed"])
def test_bf16_stays_near(layout: str, awake: Awake) -> None:
    network = awake(egnn(dtype=torch.float32))
    for (
        layer
    ) in network.layers:  # unbounded moves, each of which changes what the next layer sees, amplify any rounding
        layer.heads.weight.data[1] *= 0.1
    x, log_sigma, space, cond = dense(torch.float32, torch.tensor([40, 3, 20]))
    where, x = (space, x) if layout == "dense" else (packed(space), x[space.mask])
    exact = network(x, log_sigma, where, cond)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = network(x, log_sigma, where, cond)
    assert rough.dtype == torch.float32
    assert 0 < float(((rough - exact).norm() / exact.norm()).detach()) < 0.03


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
    with pytest.raises(ValueError, match="3 dimensions, not in 2"):
        EGNN(CONFIGS[0], channels=K, dims=2, conditions={})


def test_packed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_geometric.utils", None)
    with pytest.raises(UserError, match=r"polydiff\[molecule\]"):
        pairs_of(packed(dense()[2]))


@pytest.mark.parametrize("layout", ["dense", "packed"])
def test_messages_computed_again_give_the_same_gradients(layout: str, awake: Awake) -> None:
    """With dropout, whose random numbers must be the same both times."""
    x, log_sigma, space, cond = dense()
    where, x = (space, x) if layout == "dense" else (packed(space), x[space.mask])
    gradients = []
    for recompute in (False, True):
        network = awake(egnn(EGNNConfig(hidden=16, layers=3, dropout=0.3, recompute=recompute)))
        state = x.clone().requires_grad_()
        torch.manual_seed(0)
        network(state, log_sigma, where, cond).square().sum().backward()
        gradients.append({"x": state.grad, **{name: p.grad for name, p in network.named_parameters()}})
    assert kept(True) < 0.5 * kept(False)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=0)


def kept(recompute: bool) -> int:
    """The bytes that a forward pass keeps for the way back."""
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    x, log_sigma, space, cond = dense()
    network = egnn(EGNNConfig(hidden=16, layers=3, recompute=recompute))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        f = network(x, log_sigma, space, cond)
    assert f.requires_grad
    return sum(sizes.values())


@pytest.fixture
def graphs() -> Iterator[list[Callable[..., Any]]]:
    """What is compiled while a test runs."""
    torch._dynamo.reset()
    yield []
    torch._dynamo.reset()


@pytest.mark.parametrize("layout", ["dense", "packed"])
def test_batches_of_any_sizes_share_compiled_code(layout: str, graphs: list[Callable[..., Any]], awake: Awake) -> None:
    """Two pieces: one for the first layer, whose positions need no gradient, one for all others."""

    def backend(module: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        graphs.append(module.forward)
        return module.forward

    config = EGNNConfig(hidden=8, layers=3, radial=2, recompute=layout == "packed")
    network, plain = (awake(egnn(config)) for _ in range(2))
    network.compile(backend=backend)
    for sizes in ([3, 6], [4, 2, 7], [6, 6], [2, 3, 4, 9]):
        x, log_sigma, space, cond = dense(sizes=torch.tensor(sizes))
        where, x = (space, x) if layout == "dense" else (packed(space), x[space.mask])
        f, g = (net(x, log_sigma, where, cond) for net in (network, plain))
        torch.testing.assert_close(f, g, rtol=1e-12, atol=1e-12)
        f.square().sum().backward()
    assert len(graphs) == 2


def test_fixed_shapes_are_as_many_as_padded_sizes(graphs: list[Callable[..., Any]], awake: Awake) -> None:
    def backend(module: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        graphs.append(module.forward)
        return module.forward

    network = awake(egnn(EGNNConfig(hidden=8, layers=3, radial=2)))
    network.compile(backend=backend, dynamic=False)
    with torch.no_grad():
        for largest in range(5, 13):
            space = DenseMolecules.of_sizes(torch.tensor([3, largest]), K, torch.float64, multiple=4)
            network(space.noise(streams(0, "fixed", range(2))), torch.zeros(2, dtype=torch.float64), space, None)
    assert len(graphs) == 2  # of 8 and of 12 atoms


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None and shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_compiled_is_the_same_function(graphs: list[Callable[..., Any]], awake: Awake) -> None:
    x, log_sigma, space, cond = dense(torch.float32, torch.tensor([9, 3, 12]))
    network, plain = (awake(egnn(dtype=torch.float32)) for _ in range(2))
    network.compile()
    for net in (network, plain):
        net(x[space.mask], log_sigma, packed(space), cond).square().sum().backward()
    for (name, p), q in zip(network.named_parameters(), plain.parameters(), strict=True):
        assert far(p.grad, q.grad) < 1e-3, name
    with torch.no_grad():
        f, g = (net(x[space.mask], log_sigma, packed(space), cond) for net in (network, plain))
    assert far(f, g) < 1e-4
