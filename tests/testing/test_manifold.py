"""The checks of curved spaces: the built-in ones pass, and broken ones are found."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from polydiff.core.parts.manifolds import Manifold, RotationSpace, TorusSpace
from polydiff.core.streams import streams
from polydiff.testing.backbone import check_backbone
from polydiff.testing.parts.manifold import check_manifold

MASK = torch.arange(5) < torch.tensor([3, 1, 5, 4])[:, None]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "padded"])
def test_the_built_in_spaces_keep_the_rules(mask: Tensor | None, dtype: torch.dtype) -> None:
    check_manifold(TorusSpace(4, (5,), mask, dtype=dtype))
    check_manifold(RotationSpace(4, 5, mask, dtype=dtype))


class Unwrapped(TorusSpace):
    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        return x + v


class Long(TorusSpace):
    """Tangents that lead around the circle the long way."""

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        return y - x


class Half(TorusSpace):
    def noise(self, generators: Sequence[torch.Generator]) -> Tensor:
        return super().noise(generators) / 2


class Shared(TorusSpace):
    def noise(self, generators: Sequence[torch.Generator]) -> Tensor:
        return super().noise([generators[0]] * len(generators))


class Flipped(TorusSpace):
    def tangent(self, x: Tensor, ambient: Tensor) -> Tensor:
        return -super().tangent(x, ambient)


class Chordal(RotationSpace):
    """Tangents as long as the chord, not the arc."""

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        v = super().log(x, y)
        angle = v.norm(dim=-1, keepdim=True)
        return 2 * (angle / 2).sin() / angle * v


class SpaceFrame(RotationSpace):
    """A projection that takes the tangents of another frame."""

    def tangent(self, x: Tensor, ambient: Tensor) -> Tensor:
        return super().tangent(torch.tensor([1.0, 0, 0, 0]).expand_as(x), ambient)


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        (Unwrapped(4, (3,)), "exp leads to numbers that are no points"),
        (Long(4, (3,)), "spread is not"),
        (Half(4, (3,)), "spread is not"),
        (Shared(4, (3,)), "Generator 0 changes the noise of other samples"),
        (Flipped(4, (3,)), "is not v"),
        (Chordal(4, 3), r"exp\(x, log\(x, y\)\) is not y"),
        (SpaceFrame(4, 3), "is not v"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_broken_space_is_found(space: Manifold, sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_manifold(space)


class Network(nn.Module):
    """A linear map of what is seen, times a function of the level."""

    def __init__(self, numbers: int, out: int) -> None:
        super().__init__()
        self.layer = nn.Linear(numbers, out)

    def forward(self, x: Tensor, level: Tensor, space: Manifold, cond: None = None) -> Tensor:
        return self.layer(x) * (1 + level.tanh()).reshape(-1, *(1 for _ in x.shape[1:]))


@pytest.mark.parametrize(("space", "numbers"), [(TorusSpace(4, (5,)), 2), (RotationSpace(4, 5), 9)])
def test_a_network_gives_what_it_sees_in_number(space: Manifold, numbers: int) -> None:
    x = space.noise(streams(0, "x", range(4)))
    check_backbone(Network(numbers, numbers), space, x)
    with pytest.raises(AssertionError, match="what the network sees"):
        check_backbone(Network(numbers, 3), space, x)
