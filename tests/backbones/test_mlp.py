"""The perceptron."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from polydiff.backbones.config import EGNNConfig, MLPConfig, UNetConfig
from polydiff.backbones.egnn import EGNN
from polydiff.backbones.mlp import MLP
from polydiff.backbones.unet import UNet
from polydiff.conditions import Classes
from polydiff.config import BackboneConfig
from polydiff.plugins import build_backbone
from polydiff.random import stream
from polydiff.space import Euclidean
from polydiff.testing import check_backbone

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
