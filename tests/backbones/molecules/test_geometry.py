"""Self-conditioned networks of molecules: effects of the earlier estimate, and symmetries."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from clouds import K, dense, earlier, far, orthogonal, packed, stacked, turned
from torch import nn

from polydiff.backbones.config import EGNNConfig
from polydiff.contract.backbone import build_backbone
from polydiff.contract.sections.network import BackboneConfig
from polydiff.core.conditions import ESTIMATE
from polydiff.support.errors import UserError

Awake = Callable[..., nn.Module]
CONFIGS: dict[str, BackboneConfig] = {"egnn": EGNNConfig(hidden=16, layers=2, radial=4, self_condition=True)}


def network(name: str, dtype: torch.dtype = torch.float64, self_condition: bool = True) -> nn.Module:
    config = CONFIGS[name].model_copy(update={"self_condition": self_condition})
    return build_backbone(config, channels=K, dims=3, conditions={"size": 3, "logp": 0}).to(dtype)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=str)
@pytest.mark.parametrize("reflects", [False, True])
def test_equivariant(name: str, dtype: torch.dtype, tolerance: float, reflects: bool, awake: Awake) -> None:
    net = awake(network(name, dtype))
    x, log_sigma, space, cond = dense(dtype)
    estimate = earlier(space)
    f = net(x, log_sigma, space, {**cond, ESTIMATE: estimate})
    turn = orthogonal(1, dtype, reflects)
    g = net(turned(x, turn), log_sigma, space, {**cond, ESTIMATE: turned(estimate, turn)})
    assert far(g, turned(f, turn)) < tolerance
    assert far(net(x, log_sigma, space, {**cond, ESTIMATE: turned(estimate, turn)}), f) > 0.1
    for shift in (torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.0, 0.3, 0.0])):
        elsewhere = estimate + torch.cat([shift, torch.zeros(K)]).to(dtype)
        assert far(net(x, log_sigma, space, {**cond, ESTIMATE: elsewhere}), f) < tolerance


@pytest.mark.parametrize("name", CONFIGS)
def test_an_estimate_of_nan_equals_a_missing_one(name: str, awake: Awake) -> None:
    net = awake(network(name))
    x, log_sigma, space, cond = dense()
    estimate = earlier(space, absent=3)
    without = net(x, log_sigma, space, cond)
    nowhere = net(x, log_sigma, space, {**cond, ESTIMATE: torch.full_like(x, torch.nan)})
    torch.testing.assert_close(nowhere, without, rtol=1e-12, atol=1e-12)
    f = net(x, log_sigma, space, {**cond, ESTIMATE: estimate})
    torch.testing.assert_close(f[3], without[3], rtol=1e-12, atol=1e-12)
    for i in (0, 1, 2, 4):
        assert far(f[i], without[i]) > 1e-2


@pytest.mark.parametrize("name", CONFIGS)
def test_layouts_agree(name: str, awake: Awake) -> None:
    net = awake(network(name))
    x, log_sigma, space, cond = dense()
    cond[ESTIMATE] = earlier(space)
    f = net(x, log_sigma, space, cond)
    g = net(x[space.mask], log_sigma, packed(space), stacked(cond, space.mask))
    torch.testing.assert_close(f[space.mask], g, rtol=1e-11, atol=1e-11)
    cond[ESTIMATE][~space.mask] = torch.nan
    torch.testing.assert_close(net(x, log_sigma, space, cond), f, rtol=0, atol=0)


@pytest.mark.parametrize("name", CONFIGS)
def test_without_self_condition_there_are_no_weights_of_an_estimate(name: str) -> None:
    plain, conditioned = network(name, self_condition=False), network(name)
    x, log_sigma, space, cond = dense()
    assert set(plain.state_dict()) == {key for key in conditioned.state_dict() if not key.startswith("estimate.")}
    with pytest.raises(UserError, match="_estimate"):
        plain(x, log_sigma, space, {**cond, ESTIMATE: earlier(space)})
