"""Tests of `polydiff.testing.backbone`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from polydiff.backbones.config import DiTConfig, EGNNConfig, MLPConfig, UNetConfig
from polydiff.backbones.letters import OneHot, one_hot_channels
from polydiff.contract.backbone import build_backbone
from polydiff.contract.sections.network import BackboneConfig
from polydiff.core.conditions import Condition
from polydiff.core.parts.letters import LettersSpace
from polydiff.core.space import Euclidean, Space, State
from polydiff.core.streams import streams
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.testing.backbone import check_backbone


@dataclass
class Case:
    """A backbone with a batch for the checks."""

    config: BackboneConfig
    space: Space
    channels: int
    dims: int

    @property
    def cond(self) -> dict[str, Tensor]:
        b = self.space.batch
        return {"kind": torch.arange(b) % 3, "mass": torch.linspace(-1, 1, b)}

    def network(self) -> nn.Module:
        conditions = {"kind": 3, "mass": 0}
        return build_backbone(self.config, channels=self.channels, dims=self.dims, conditions=conditions)

    def check(self, network: nn.Module | None = None) -> None:
        x = self.space.noise(streams(0, "state", range(self.space.batch)))
        check_backbone(network or self.network(), self.space, x, self.cond)


UNET = UNetConfig(channels=16, mult=(1, 2), blocks=1, attention=(1,), heads=2)


EGNN = EGNNConfig(hidden=16, layers=2)


CASES = {
    "unet1d": Case(UNET, Euclidean(3, (2, 16)), 2, 1),
    "unet2d": Case(UNET, Euclidean(3, (1, 8, 8)), 1, 2),
    "egnn dense": Case(EGNN, DenseMolecules.of_sizes(torch.tensor([3, 2, 5]), 4), 4, 3),
    "egnn packed": Case(EGNN, PackedMolecules.of_sizes(torch.tensor([3, 2, 5]), 4), 4, 3),
    "mlp": Case(MLPConfig(hidden=16, layers=2), Euclidean(3, (5,)), 5, 0),
}


@pytest.mark.parametrize("name", CASES)
def test_the_backbones_of_polydiff_pass(name: str) -> None:
    torch.manual_seed(0)
    CASES[name].check()


Forward = Callable[[nn.Module, State, Tensor, Space, Condition | None], Tensor]


class Changed(nn.Module):
    """An MLP whose output a function changes."""

    def __init__(self, forward: Forward) -> None:
        super().__init__()
        self.inner = CASES["mlp"].network()
        self.spare = nn.Linear(1, 1)
        self.change = forward

    def forward(self, x: State, log_sigma: Tensor, space: Space, cond: Condition | None = None) -> Tensor:
        return self.change(self, x, log_sigma, space, cond)


def used(net: nn.Module, f: Tensor) -> Tensor:
    """Return f times the output of the spare layer, so that every parameter has a gradient."""
    out: Tensor = f * net.spare(torch.ones(1, 1))[0]  # type: ignore[operator]
    return out


def inner(net: nn.Module, x: State, log_sigma: Tensor, space: Space, cond: Condition | None) -> Tensor:
    out: Tensor = net.inner(x, log_sigma, space, cond)  # type: ignore[operator]
    return out


def zeros_if_missing(cond: Condition | None, like: Tensor) -> Condition:
    """Return zeros for missing conditions, as a network without a "not given" would."""
    return cond or {"kind": torch.zeros(len(like), dtype=torch.long), "mass": torch.zeros(len(like))}


CHANGES: dict[str, tuple[Forward, str]] = {
    "correct": (lambda net, x, s, sp, c: used(net, inner(net, x, s, sp, c)), ""),
    "shape": (lambda net, x, s, sp, c: used(net, inner(net, x, s, sp, c)[:, 1:]), "The output has shape"),
    "dtype": (lambda net, x, s, sp, c: used(net, inner(net, x, s, sp, c)).double(), "The output is torch.float64"),
    "overflow": (
        lambda net, x, s, sp, c: used(net, inner(net, x, s, sp, c)) * (90 * (s[:, None] + 6)).exp(),
        "not finite at",
    ),
    "random": (lambda net, x, s, sp, c: used(net, inner(net, x, s, sp, c)) + torch.rand(1), "two calls"),
    "ignores log_sigma": (
        lambda net, x, s, sp, c: used(net, inner(net, x, 0 * s, sp, c)),
        "does not depend on log_sigma",
    ),
    "zeros": (lambda net, x, s, sp, c: used(net, inner(net, x, s, sp, zeros_if_missing(c, x))), "all -1 or NaN"),
    "ignores conditions": (
        lambda net, x, s, sp, c: used(net, inner(net, x, s, sp, None)),
        "does not change the output",
    ),
    "mixing": (
        lambda net, x, s, sp, c: used(net, inner(net, x - x.mean(0), s, sp, c)),
        "changes the output of other samples",
    ),
    "first": (
        lambda net, x, s, sp, c: used(net, inner(net, x, s, sp, c)) * torch.arange(1, 1 + len(x))[:, None].float(),
        "Samples in another order",
    ),
    "idle": (lambda net, x, s, sp, c: inner(net, x, s, sp, c), "No gradient reaches spare.weight, spare.bias"),
    "cut": (
        lambda net, x, s, sp, c: used(net, 0 * inner(net, x, s, sp, c)) + x * s[:, None],
        "Every gradient is zero|does not",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_backbone_that_breaks_a_rule_is_caught(name: str) -> None:
    torch.manual_seed(0)
    forward, sentence = CHANGES[name]
    if not sentence:
        CASES["mlp"].check(Changed(forward))
        return
    with pytest.raises(AssertionError, match=sentence):
        CASES["mlp"].check(Changed(forward))


def test_a_check_does_not_change_the_network() -> None:
    network = CASES["mlp"].network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    CASES["mlp"].check(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


class Letterwise(nn.Module):
    """Logits of letters by a network of real planes, on the letters that `seen` returns."""

    def __init__(self, seen: Callable[[Tensor], Tensor] = lambda x: x, extra: int = 0) -> None:
        super().__init__()
        config = DiTConfig(patch=1, width=16, depth=1, heads=1)
        network = build_backbone(config, channels=one_hot_channels(4), dims=1, conditions={"kind": 3, "mass": 0})
        self.network, self.seen, self.extra = OneHot(network, 4, 1), seen, extra

    def forward(self, x: State, level: Tensor, space: Space, cond: Condition | None = None) -> Tensor:
        return torch.nn.functional.pad(self.network(self.seen(x), level, space, cond), (0, self.extra))


LETTERS = Case(MLPConfig(), LettersSpace(3, (6,), 4), 4, 1)


def test_a_network_of_letters_passes() -> None:
    LETTERS.check(Letterwise())


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (Letterwise(extra=1), "The logits have shape"),
        (Letterwise(lambda x: x.flip(0)), "Sample 0 (does not change its own output|changes the output of other)"),
        (Letterwise(torch.zeros_like), "Sample 0 does not change its own output"),
    ],
)
def test_a_wrong_network_of_letters_is_explained(network: nn.Module, sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        LETTERS.check(network)
