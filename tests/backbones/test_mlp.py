"""The perceptron."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from polydiff.backbones.config import EGNNConfig, MLPConfig, UNetConfig
from polydiff.backbones.mlp import MLP
from polydiff.backbones.molecules.egnn import EGNN
from polydiff.backbones.unet import UNet
from polydiff.contract.backbone import build_backbone
from polydiff.contract.sections.network import BackboneConfig
from polydiff.core.conditions import ESTIMATE, Classes
from polydiff.core.space import Euclidean
from polydiff.core.streams import stream, streams
from polydiff.testing.backbone import check_backbone

CONFIG = MLPConfig(hidden=32, layers=2)


def test_conforms() -> None:
    x = torch.randn(6, 3, generator=stream(0, "state"))
    network = MLP(CONFIG, channels=3, dims=0, conditions={"class": Classes(2)})
    check_backbone(network, Euclidean(6, (3,)), x, {"class": torch.tensor([0, 1, -1, 0, 1, -1])})


def test_starts_at_zero_and_trains_every_parameter(awake: Callable[..., nn.Module]) -> None:
    x = torch.randn(6, 3, generator=stream(0, "state"))
    network = MLP(CONFIG, channels=3, dims=0, conditions={})
    assert not network(x, torch.zeros(6), Euclidean(6, (3,))).any()
    awake(network)(x, torch.zeros(6), Euclidean(6, (3,))).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())


@pytest.mark.parametrize(
    ("config", "dims", "cls"), [(UNetConfig(), 2, UNet), (EGNNConfig(), 3, EGNN), (MLPConfig(), 0, MLP)]
)
def test_found_by_name(config: BackboneConfig, dims: int, cls: type[nn.Module]) -> None:
    assert type(build_backbone(config, channels=2, dims=dims, conditions={})) is cls


Awake = Callable[..., nn.Module]


def test_the_perceptron_takes_an_estimate_beside_its_state(awake: Awake) -> None:
    config = MLPConfig(hidden=16, layers=2, self_condition=True)
    net = awake(build_backbone(config, channels=3, dims=0, conditions={}))
    space = Euclidean(4, (3,))
    x, estimate = (space.noise(streams(0, name, range(4))) for name in ("state", "estimate"))
    estimate[1] = torch.nan
    f, without = (net(x, torch.zeros(4), space, c) for c in ({ESTIMATE: estimate}, None))
    assert torch.equal(f[1], without[1])
    assert ((f - without).abs().amax(1) > 1e-3).tolist() == [True, False, True, True]
