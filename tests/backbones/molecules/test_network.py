"""Laws of every network of molecules: symmetries, padding, layouts, the smallest molecules, a cut-off that fades."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from clouds import K, awaken, dense, earlier, far, orthogonal, packed, stacked, turned
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from polydiff.backbones.config import EGNNConfig, GraphTransformerConfig, MoleculeNetConfig
from polydiff.contract.backbone import build_backbone
from polydiff.core.conditions import ESTIMATE, Condition
from polydiff.core.space import Space
from polydiff.core.streams import stream, streams
from polydiff.domains.molecule.space import DenseMolecules
from polydiff.testing.backbone import check_backbone

Awake = Callable[..., nn.Module]
SMALL: dict[str, MoleculeNetConfig] = {
    "egnn": EGNNConfig(hidden=32, layers=3, radial=8, coords_range=4),
    "graph_transformer": GraphTransformerConfig(hidden=32, layers=3, radial=8, pair=16, vectors=8, heads=4),
}
OPTIONS: dict[str, dict[str, object]] = {
    "mean": {},
    "sum": {"aggregation": "sum", "divisor": 3.0, "radial": 0},
    "near": {"neighbours_within": 3.0},
    "self_condition": {"self_condition": True},
    "variance": {"variance": True},
}
networks = pytest.mark.parametrize("name", SMALL)
layouts = pytest.mark.parametrize("layout", ["dense", "packed"])
precisions = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=["float32", "float64"]
)


def network(name: str, dtype: torch.dtype = torch.float64, **options: object) -> nn.Module:
    config = SMALL[name].model_copy(update=options)
    return build_backbone(config, channels=K, dims=3, conditions={"size": 3, "logp": 0}).to(dtype)


def whole(net: nn.Module, x: Tensor, log_sigma: Tensor, space: Space, cond: Condition | None) -> Tensor:
    """What a network returns, as one tensor."""
    f = net(x, log_sigma, space, cond)
    return torch.cat(f, -1) if isinstance(f, tuple) else f


def with_estimate(net: nn.Module, space: DenseMolecules, cond: dict[str, Tensor]) -> dict[str, Tensor]:
    """Conditions, and an earlier estimate for a self-conditioned network."""
    return {**cond, ESTIMATE: earlier(space)} if getattr(net, "estimate", None) is not None else cond


def laid(layout: str, x: Tensor, space: DenseMolecules, cond: dict[str, Tensor]) -> tuple[Tensor, Space, Condition]:
    """A batch in one of the layouts."""
    return (x, space, cond) if layout == "dense" else (x[space.mask], packed(space), stacked(cond, space.mask))


@networks
@pytest.mark.parametrize("option", OPTIONS)
@precisions
@pytest.mark.parametrize("reflects", [False, True], ids=["turns", "reflects"])
def test_equivariant(
    name: str, option: str, dtype: torch.dtype, tolerance: float, reflects: bool, awake: Awake
) -> None:
    """At noise levels from 0.002 to 80, with weights that hide nothing."""
    net = awake(network(name, dtype, **OPTIONS[option]))
    x, _, space, cond = dense(dtype)
    log_sigma = torch.linspace(-6, 4.4, space.batch, dtype=dtype)
    cond = with_estimate(net, space, cond)
    f = whole(net, x, log_sigma, space, cond)
    assert f[..., :3].std() > 0.05
    assert f[..., 3:].std() > 0.05
    other = DenseMolecules(space.mask.flip(0), K, dtype)
    assert far(f, whole(net, x.flip(0), log_sigma, other, cond)) > 0.1

    turn = orthogonal(1, dtype, reflects)
    torch.testing.assert_close(torch.linalg.det(turn), torch.tensor(-1.0 if reflects else 1.0, dtype=dtype))
    moved = {key: turned(value, turn) if value.ndim == 3 else value for key, value in cond.items()}
    assert far(whole(net, turned(x, turn), log_sigma, space, moved), turned(f, turn)) < tolerance

    shift = torch.tensor([0.5, -1.0, 0.25] + K * [0.0], dtype=dtype)
    assert far(whole(net, x + shift, log_sigma, space, cond), f) < tolerance

    order = torch.randperm(x.shape[1], generator=stream(2, "order"))
    shuffled = {key: value[:, order] if value.ndim == 3 else value for key, value in cond.items()}
    there = DenseMolecules(space.mask[:, order], K, dtype)
    assert far(whole(net, x[:, order], log_sigma, there, shuffled), f[:, order]) < tolerance


@networks
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
    layout=st.sampled_from(["dense", "packed"]),
)
def test_equivariant_for_any_molecules(name: str, sizes: list[int], seed: int, layout: str) -> None:
    net = awaken(network(name, self_condition=True), seed)
    x, log_sigma, space, cond = dense(sizes=torch.tensor(sizes))
    turn = orthogonal(seed, x.dtype, seed % 2 == 1)
    cond[ESTIMATE] = earlier(space, absent=seed % len(sizes))
    f = whole(net, *laid_call(layout, x, log_sigma, space, cond))
    moved = cond | {ESTIMATE: turned(cond[ESTIMATE], turn)}
    g = whole(net, *laid_call(layout, turned(x, turn) + 0.0, log_sigma, space, moved))
    assert f.isfinite().all()
    assert float((g - turned(f, turn)).detach().abs().max()) < 1e-10 * max(1.0, float(f.detach().abs().max()))


def laid_call(
    layout: str, x: Tensor, log_sigma: Tensor, space: DenseMolecules, cond: dict[str, Tensor]
) -> tuple[Tensor, Tensor, Space, Condition]:
    """Arguments of a network in one of the layouts."""
    x, where, cond_there = laid(layout, x, space, cond)
    return x, log_sigma, where, cond_there


@networks
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_padding_and_other_molecules_change_no_bit(name: str, option: str, dtype: torch.dtype, awake: Awake) -> None:
    net = awake(network(name, dtype, **OPTIONS[option]))
    x, log_sigma, space, cond = dense(dtype)
    cond = with_estimate(net, space, cond)
    f = whole(net, x, log_sigma, space, cond)
    assert not f[~space.mask].any()
    for rubbish in (torch.nan, 1e6):
        dirty = {key: value.clone() for key, value in (cond | {"x": x}).items()}
        for value in dirty.values():
            if value.ndim == 3:
                value[~space.mask] = rubbish
        assert torch.equal(whole(net, dirty.pop("x"), log_sigma, space, dirty), f)
    for i in range(space.batch):
        mates = {key: torch.cat([value[:i], value[i:].roll(-1, 0)]) for key, value in cond.items()}
        mates = {key: torch.cat([value[:i] * 0.5, cond[key][i:]]) for key, value in mates.items() if value.ndim == 3}
        g = whole(net, torch.cat([x[:i] * 2, x[i:]]), log_sigma, space, cond | mates)
        assert torch.equal(g[i:], f[i:])
        assert i == 0 or not torch.equal(g[:i], f[:i])


@networks
@pytest.mark.parametrize("option", OPTIONS)
@precisions
def test_more_padding_and_fewer_neighbours_only_round(
    name: str, option: str, dtype: torch.dtype, tolerance: float, awake: Awake
) -> None:
    """Other shapes are other orders of summation, and other ends of the vectors in which sigmoid and tanh are computed:
    nothing else may differ."""
    net = awake(network(name, dtype, **OPTIONS[option]))
    x, log_sigma, space, cond = dense(dtype)
    cond = with_estimate(net, space, cond)
    f = whole(net, x, log_sigma, space, cond)
    wide = {key: functional.pad(v, (0, 0, 0, 6)) if v.ndim == 3 else v for key, v in (cond | {"x": x}).items()}
    mask = functional.pad(space.mask, (0, 6))
    g = whole(net, wide.pop("x"), log_sigma, DenseMolecules(mask, K, dtype), wide)
    assert far(g[:, : x.shape[1]], f) < tolerance
    assert not g[~mask].any()
    for i, n in enumerate(space.sizes.tolist()):
        alone = DenseMolecules.of_sizes(space.sizes[i : i + 1], K, dtype)
        here = {key: v[i : i + 1, :n] if v.ndim == 3 else v[i : i + 1] for key, v in cond.items()}
        h = whole(net, x[i : i + 1, :n], log_sigma[i : i + 1], alone, here)
        assert far(h[0], f[i, :n]) < tolerance


@networks
@pytest.mark.parametrize("option", OPTIONS)
def test_layouts_agree(name: str, option: str, awake: Awake) -> None:
    net = awake(network(name, **OPTIONS[option]))
    x, log_sigma, space, cond = dense()
    cond = with_estimate(net, space, cond)
    target = space.noise(streams(1, "target", range(space.batch)))
    outputs, gradients = [], []
    for layout in ("dense", "packed"):
        net.zero_grad()
        state, where, there = laid(layout, x, space, cond)
        f = whole(net, state, log_sigma, where, there)
        wanted = target if layout == "dense" else target[space.mask]
        where.sum((f[..., : 3 + K] - wanted).square()).sum().backward(retain_graph=True)
        where.sum(f[..., 3 + K :].square()).sum().backward()
        outputs.append(f[space.mask] if layout == "dense" else f)
        gradients.append({key: p.grad.clone() for key, p in net.named_parameters()})
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-11, atol=1e-11)
    for key, gradient in gradients[0].items():
        assert far(gradients[1][key], gradient) < 1e-9, key
        assert gradient.any(), key


@networks
@layouts
def test_conforms(name: str, layout: str) -> None:
    x, _, space, cond = dense(torch.float32)
    state, where, there = laid(layout, x, space, cond)
    check_backbone(network(name, torch.float32), where, state, there)


@networks
@layouts
@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("option", ["mean", "near", "self_condition"])
def test_smallest_molecules(name: str, layout: str, n: int, option: str, awake: Awake) -> None:
    x, log_sigma, space, cond = dense(sizes=torch.tensor([n, n]))
    net = awake(network(name, **OPTIONS[option]))
    state, where, there = laid(layout, x, space, with_estimate(net, space, cond))
    state.requires_grad_()
    f = net(state, log_sigma, where, there)
    f.square().sum().backward()
    assert f.isfinite().all()
    assert f[..., :3].any() == (n == 2)
    assert state.grad is not None
    assert state.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in net.parameters())


@networks
@layouts
@pytest.mark.parametrize("option", ["mean", "near", "self_condition"])
def test_atoms_in_one_place_have_a_gradient(name: str, layout: str, option: str, awake: Awake) -> None:
    x, log_sigma, space, cond = dense(torch.float32)
    net = awake(network(name, torch.float32, **OPTIONS[option]))
    x[:2] = 0
    x[2:, :2] = x[2:, 2:3]  # and two of several
    state, where, there = laid(layout, x * space.mask[..., None], space, with_estimate(net, space, cond))
    state.requires_grad_()
    net(state, log_sigma, where, there).square().sum().backward()
    assert state.grad is not None
    assert state.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in net.parameters())


@networks
def test_starts_near_zero(name: str) -> None:
    x, log_sigma, space, cond = dense()
    f = network(name)(x, log_sigma, space, cond)
    assert not f[..., 3:].any()
    assert 0 < f[..., :3].abs().max() < 0.05


@networks
@layouts
def test_moves_are_bounded(name: str, layout: str, awake: Awake) -> None:
    """However large the weights: by `coords_range`, in each of the rounds, for each neighbour or vector."""
    net = awake(network(name))
    for p in net.parameters():
        p.data *= 100
    x, log_sigma, space, cond = dense()
    state, where, there = laid(layout, x, space, cond)
    f = net(state, log_sigma, where, there)
    config = SMALL[name]
    assert 1 < float(f[..., :3].detach().norm(dim=-1).max()) < config.coords_range * config.layers  # type: ignore[attr-defined]


@networks
@layouts
@pytest.mark.parametrize("option", ["mean", "near"])
def test_geometry_is_float32_under_bf16(name: str, layout: str, option: str, awake: Awake) -> None:
    """Positions of about 1 far from the origin, where bf16 knows them to 4 only: the network sees no difference."""
    net = awake(network(name, torch.float32, **OPTIONS[option]))
    x, log_sigma, space, cond = dense(torch.float32)
    state, where, there = laid(layout, x, space, cond)
    shift = torch.tensor([512.0, -256.0, 128.0] + K * [0.0])
    state = (state + shift) - shift  # with as many digits as it has there
    seen: list[torch.dtype] = []
    for module in net.modules():
        if type(module).__name__ == "Geometry":
            module.register_forward_hook(lambda m, a, out: seen.extend(o.dtype for o in out))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        f, g = (net(s, log_sigma, where, there) for s in (state, state + shift))
    assert set(seen) == {torch.float32}
    assert f.dtype == torch.float32
    assert far(g, f) < 5e-2
    rounded = state.bfloat16().float()
    assert far(net(rounded, log_sigma, where, there), net(state, log_sigma, where, there)) > 1e-4


@networks
@layouts
def test_bf16_stays_near(name: str, layout: str, awake: Awake) -> None:
    net = awake(network(name, torch.float32))
    for layer in net.layers:  # unbounded moves, each of which changes what the next layer sees, amplify any rounding
        last = layer.heads if name == "egnn" else layer.leave
        last.weight.data[1 if name == "egnn" else slice(-8, None)] *= 0.1
    x, log_sigma, space, cond = dense(torch.float32, torch.tensor([40, 3, 20]))
    state, where, there = laid(layout, x, space, cond)
    exact = net(state, log_sigma, where, there)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = net(state, log_sigma, where, there)
    assert rough.dtype == torch.float32
    assert 0 < float(((rough - exact).norm() / exact.norm()).detach()) < 0.03


@networks
@layouts
def test_pairs_computed_again_give_the_same_gradients(name: str, layout: str, awake: Awake) -> None:
    """With dropout, whose random numbers must be the same both times."""
    x, log_sigma, space, cond = dense()
    state, where, there = laid(layout, x, space, cond)
    gradients, kept = [], []
    for recompute in (False, True):
        net = awake(network(name, dropout=0.3, recompute=recompute))
        own = state.clone().requires_grad_()
        torch.manual_seed(0)
        held = Held()
        with torch.autograd.graph.saved_tensors_hooks(held.pack, lambda tensor: tensor):
            f = net(own, log_sigma, where, there)
        f.square().sum().backward()
        gradients.append({"x": own.grad, **{key: p.grad for key, p in net.named_parameters()}})
        kept.append(sum(held.sizes.values()))
    assert kept[1] < 0.75 * kept[0]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=0)


class Held:
    """The bytes that a forward pass keeps for the way back."""

    def __init__(self) -> None:
        self.sizes: dict[int, int] = {}

    def pack(self, tensor: Tensor) -> Tensor:
        self.sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor
