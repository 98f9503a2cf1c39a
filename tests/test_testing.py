"""The conformance kit passes what keeps its promises and catches what breaks each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from fake_plugins import install_ring
from torch import Tensor, nn

from polydiff.backbones.config import EGNNConfig, MLPConfig, UNetConfig
from polydiff.config import BackboneConfig
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.plugins import build_backbone
from polydiff.random import Device, streams
from polydiff.settings import resolve
from polydiff.space import Condition, Euclidean, Space, State, normal
from polydiff.testing import check_backbone, check_domain, check_space

SIZES = torch.tensor([3, 1, 5])


@pytest.mark.parametrize(
    "space",
    [
        Euclidean(1, (2,)),
        Euclidean(3, (1, 4, 4), dtype=torch.float64),
        DenseMolecules.of_sizes(SIZES, 2),
        PackedMolecules.of_sizes(SIZES, 0),
    ],
    ids=lambda space: type(space).__name__,
)
def test_the_spaces_of_polydiff_keep_their_promises(space: Space) -> None:
    check_space(space)


class Loud(Euclidean):
    def noise(self, generators: Sequence[torch.Generator]) -> State:
        return 1.2 * super().noise(generators)


class Shared(Euclidean):
    def noise(self, generators: Sequence[torch.Generator]) -> State:
        return normal(generators[:1], (self.batch, *self.shape), self.device)[0]


class Restless(Euclidean):
    def noise(self, generators: Sequence[torch.Generator]) -> State:
        return torch.randn(self.batch, *self.shape)


class Backwards(Euclidean):
    def expand(self, c: Tensor) -> Tensor:
        return super().expand(c.flip(0) if c.ndim else c)


class Unshaped(Euclidean):
    def expand(self, c: Tensor) -> Tensor:
        return c


class Shrinking(Euclidean):
    def project(self, x: State) -> State:
        return 0.9 * x


class Centred(Euclidean):
    """States of mean zero, whose noise is not."""

    def project(self, x: State) -> State:
        return x - x.mean(1, keepdim=True)


class Oblique(Euclidean):
    """Idempotent, but not self-adjoint."""

    def project(self, x: State) -> State:
        return torch.cat([x[:, :1], x[:, :1], x[:, 2:]], 1)

    def noise(self, generators: Sequence[torch.Generator]) -> State:
        return self.project(super().noise(generators))


class Positive(Euclidean):
    """Idempotent, but not linear, as every self-adjoint map is."""

    def project(self, x: State) -> State:
        return x.abs()

    def noise(self, generators: Sequence[torch.Generator]) -> State:
        return super().noise(generators).abs()


class Undercounted(DenseMolecules):
    @property
    def dim(self) -> Tensor:
        return (self.sizes * (3 + self.features)).to(self.dtype)  # the centre of mass is not free

    def to(self, device: Device) -> Space:
        return self


class Padded(DenseMolecules):
    def sum(self, x: State) -> Tensor:
        return x.sum((1, 2))


class Squeezed(Euclidean):
    """The right norm, from one direction alone."""

    def noise(self, generators: Sequence[torch.Generator]) -> State:
        return super().noise(generators)[:, :1].repeat(1, self.shape[0])


class Mixed(PackedMolecules):
    """Two copies, whose atoms are those of the same molecules."""

    def repeat(self, n: int) -> PackedMolecules:
        return PackedMolecules(self.batch_index.repeat(n).sort().values, self.batch, self.features)


class Swapped(PackedMolecules):
    """As many atoms and molecules, in another order."""

    def repeat(self, n: int) -> PackedMolecules:
        return PackedMolecules.of_sizes(self.sizes.repeat_interleave(n), self.features)


MASK = torch.arange(5) < SIZES[:, None]
INDEX = torch.arange(len(SIZES)).repeat_interleave(SIZES)


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        (Loud(2, (3,)), "noise and dim disagree"),
        (Shared(2, (3,)), "Generator 0 changes the noise of other samples"),
        (Restless(2, (3,)), "The same generators give different noise"),
        (Backwards(2, (3,)), "expand gives a sample the number of another"),
        (Unshaped(3, (3,)), "expand gives a sample the number of another"),
        (Shrinking(2, (3,)), "Noise does not lie on the space"),
        (Centred(2, (3,)), "Noise does not lie on the space"),
        (Oblique(2, (3,)), "project is not self-adjoint"),
        (Positive(2, (3,)), "project is not self-adjoint"),
        (Undercounted(MASK, 2), "noise and dim disagree"),
        (Padded(MASK, 2), "sum counts padding"),
        (Squeezed(2, (4,)), "noise is not standard normal"),
        (Mixed(INDEX, len(SIZES), 2), r"repeat\(2\) has a batch of"),
        (Swapped(INDEX, len(SIZES), 2), r"repeat\(2\) changes dim"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_broken_space_is_caught(space: Space, sentence: str) -> None:
    padding = ~space.mask[..., None].repeat(1, 1, 5) if isinstance(space, DenseMolecules) else None
    with pytest.raises(AssertionError, match=sentence):
        check_space(space, padding)


def test_padding_that_is_told_is_kept_out() -> None:
    space = DenseMolecules(MASK, 2)
    check_space(space, padding=~MASK[..., None].repeat(1, 1, 5))
    with pytest.raises(AssertionError, match="noise is not 0 on padding"):
        check_space(space, padding=MASK[..., None].repeat(1, 1, 5))


@dataclass
class Case:
    """A backbone with a batch to try it on."""

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
def test_the_backbones_of_polydiff_keep_their_promises(name: str) -> None:
    torch.manual_seed(0)
    CASES[name].check()


Forward = Callable[[nn.Module, State, Tensor, Space, Condition | None], Tensor]


class Bent(nn.Module):
    """An MLP whose output one function has changed."""

    def __init__(self, forward: Forward) -> None:
        super().__init__()
        self.inner = CASES["mlp"].network()
        self.spare = nn.Linear(1, 1)
        self.bend = forward

    def forward(self, x: State, log_sigma: Tensor, space: Space, cond: Condition | None = None) -> Tensor:
        return self.bend(self, x, log_sigma, space, cond)


def used(net: nn.Module, f: Tensor) -> Tensor:
    """Let the spare layer take part, so that every parameter has a gradient."""
    out: Tensor = f * net.spare(torch.ones(1, 1))[0]  # type: ignore[operator]
    return out


def inner(net: nn.Module, x: State, log_sigma: Tensor, space: Space, cond: Condition | None) -> Tensor:
    out: Tensor = net.inner(x, log_sigma, space, cond)  # type: ignore[operator]
    return out


def nothing_given(cond: Condition | None, like: Tensor) -> Condition:
    """What a network that knows no "not given" would take: zeros."""
    return cond or {"kind": torch.zeros(len(like), dtype=torch.long), "mass": torch.zeros(len(like))}


BENT: dict[str, tuple[Forward, str]] = {
    "sound": (lambda net, x, s, sp, c: used(net, inner(net, x, s, sp, c)), ""),
    "shape": (lambda net, x, s, sp, c: used(net, inner(net, x, s, sp, c)[:, 1:]), "The output has shape"),
    "dtype": (lambda net, x, s, sp, c: used(net, inner(net, x, s, sp, c)).double(), "The output is torch.float64"),
    "overflow": (
        lambda net, x, s, sp, c: used(net, inner(net, x, s, sp, c)) * (90 * (s[:, None] + 6)).exp(),
        "not finite at",
    ),
    "random": (lambda net, x, s, sp, c: used(net, inner(net, x, s, sp, c)) + torch.rand(1), "two calls"),
    "deaf": (lambda net, x, s, sp, c: used(net, inner(net, x, 0 * s, sp, c)), "does not depend on log_sigma"),
    "zeros": (lambda net, x, s, sp, c: used(net, inner(net, x, s, sp, nothing_given(c, x))), "all -1 or NaN"),
    "blind": (lambda net, x, s, sp, c: used(net, inner(net, x, s, sp, None)), "does not change the output"),
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


@pytest.mark.parametrize("name", BENT)
def test_a_broken_backbone_is_caught(name: str) -> None:
    torch.manual_seed(0)
    forward, sentence = BENT[name]
    if not sentence:
        CASES["mlp"].check(Bent(forward))
        return
    with pytest.raises(AssertionError, match=sentence):
        CASES["mlp"].check(Bent(forward))


def test_the_network_that_is_checked_is_left_as_it_was() -> None:
    network = CASES["mlp"].network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    CASES["mlp"].check(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_sound_domain_passes_every_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_ring(tmp_path, monkeypatch)
    found = check_domain("ring")
    assert [check for check in found if not check.passed] == []
    assert len(found) == 14
    assert all(check.detail for check in found)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("batches", "depends on the others of its batch"),
        ("variance", "root mean square is 0.1"),
        ("space", "noise and dim disagree"),
        ("backbone", "A condition that is given does not change the output"),
        ("blank", "unknown condition is not refused"),
        ("decode", "decode returns 15 examples for 16 states"),
        ("judges", "No metric is better on real data than on noise"),
        ("show", "show fetches something"),
        ("save", "save names 'sample-00000.json' and does not write it"),
        ("statistics", "A domain built with statistics has others"),
    ],
)
def test_a_broken_promise_of_a_domain_is_caught_by_its_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, sentence: str
) -> None:
    install_ring(tmp_path, monkeypatch)
    config = resolve("ring", words={"data.fault": fault}).config
    broken = {check.name: check.detail for check in check_domain(config) if not check.passed}
    assert sentence in broken[fault]


def test_a_domain_that_cannot_be_used_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_ring(tmp_path, monkeypatch)
    (found,) = check_domain("rign")
    assert not found.passed
    assert "Did you mean 'ring'?" in found.detail
