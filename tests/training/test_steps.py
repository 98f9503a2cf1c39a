"""Tests of `polydiff.training.steps`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from polydiff.backbones.config import DiTConfig, EGNNConfig, GraphTransformerConfig, MLPConfig, UNetConfig
from polydiff.contract.backbone import build_backbone
from polydiff.core.conditions import STEP, Classes, Condition, Number, Tokens
from polydiff.core.space import Euclidean
from polydiff.core.streams import streams
from polydiff.domains.molecule.space import DenseMolecules
from polydiff.testing.backbone import awake
from polydiff.training.steps import inherited

CONDITIONS = {"Weight": Number(), "caption": Tokens(4), "label": Classes(3), "logp": Number()}
"""Conditions, one of which precedes "_step" in the order of names."""
UNET = {"channels": 16, "mult": (1, 2), "strides": (2,), "blocks": 1, "attention": (1,), "heads": 2}
CASES: dict[str, tuple[Callable[..., Any], dict[str, Any], int, Any]] = {
    "unet of images": (UNetConfig, UNET, 2, Euclidean(3, (2, 8, 8))),
    "unet of waveforms": (
        UNetConfig,
        {**UNET, "spectral_window": 16, "spectral_long_window": 32},
        1,
        Euclidean(3, (2, 64)),
    ),
    "dit": (DiTConfig, {"width": 16, "depth": 2, "heads": 2, "patch": 4}, 2, Euclidean(3, (2, 8, 8))),
    "mlp": (MLPConfig, {"hidden": 16, "layers": 2}, 0, Euclidean(3, (2,))),
    "egnn": (EGNNConfig, {"hidden": 16, "layers": 2}, 3, DenseMolecules.of_sizes(torch.tensor([4, 2, 3]), 2)),
    "graph_transformer": (
        GraphTransformerConfig,
        {"hidden": 16, "layers": 2, "heads": 2},
        3,
        DenseMolecules.of_sizes(torch.tensor([4, 2, 3]), 2),
    ),
}


class Case:
    """Networks of one kind with and without step sizes, and an input."""

    def __init__(self, name: str) -> None:
        self.make, self.options, self.dims, self.space = CASES[name]
        self.x = self.space.noise(streams(0, "x", range(3)))
        self.log_sigma = torch.tensor([-2.0, 0.0, 2.0])
        self.cond = {
            "Weight": torch.tensor([0.3, math.nan, 1.0]),
            "caption": torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0)),
            "label": torch.tensor([0, 2, -1]),
            "logp": torch.tensor([1.0, -1.0, math.nan]),
        }

    def network(self, seed: int, sized: bool) -> nn.Module:
        torch.manual_seed(seed)
        config = self.make(**self.options, step_size=sized)
        return awake(build_backbone(config, channels=2, dims=self.dims, conditions=CONDITIONS), seed).eval()

    def output(self, network: nn.Module, **more: torch.Tensor) -> torch.Tensor:
        cond: Condition = {**self.cond, **more}
        f: torch.Tensor = network(self.x, self.log_sigma, self.space, cond)
        return f


@pytest.mark.parametrize("name", CASES)
def test_a_network_that_gains_step_sizes_gives_what_it_gave(name: str) -> None:
    case = Case(name)
    old, new = case.network(0, sized=False), case.network(1, sized=True)
    new.load_state_dict(inherited(new, old.state_dict(), {STEP}, ()))
    before = case.output(old)
    sizes = torch.tensor([0.0, -3.5, math.nan])
    assert torch.equal(case.output(new), before)
    assert torch.equal(case.output(new, **{STEP: sizes}), before)
    case.output(new, **{STEP: sizes}).square().sum().backward()
    field = new.embed.conditions.fields[1]
    assert all(bool(p.grad.any()) for p in (*field.embed.second.parameters(), field.null))


@pytest.mark.parametrize("name", CASES)
def test_a_network_that_loses_step_sizes_gives_what_it_gave_without(name: str) -> None:
    case = Case(name)
    old, new = case.network(0, sized=True), case.network(1, sized=False)
    new.load_state_dict(inherited(new, old.state_dict(), (), {STEP}))
    assert_close(case.output(new), case.output(old), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(case.output(old, **{STEP: torch.zeros(3)}), case.output(old), rtol=1e-2)


def test_weights_of_another_kind_of_network_are_left_as_they_are() -> None:
    weights = {"layers.0.weight": torch.ones(2), "embed.table": torch.zeros(3)}
    network = Case("mlp").network(0, sized=True)
    assert inherited(network, weights, {STEP}, ()) == weights
