"""Tests of `polydiff.testing.space`."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from polydiff.core.parts.letters import LettersSpace
from polydiff.core.space import Euclidean, Space, State, normal
from polydiff.core.streams import Device
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.testing.space import check_space

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
def test_the_spaces_of_polydiff_pass(space: Space) -> None:
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
    """A projection that is idempotent, but not self-adjoint."""

    def project(self, x: State) -> State:
        return torch.cat([x[:, :1], x[:, :1], x[:, 2:]], 1)

    def noise(self, generators: Sequence[torch.Generator]) -> State:
        return self.project(super().noise(generators))


class Positive(Euclidean):
    """A projection that is idempotent, but neither linear nor self-adjoint."""

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
    """Noise of the right norm in one direction only."""

    def noise(self, generators: Sequence[torch.Generator]) -> State:
        return super().noise(generators)[:, :1].repeat(1, self.shape[0])


class Mixed(PackedMolecules):
    """A repeated space whose copies share their molecules."""

    def repeat(self, n: int) -> PackedMolecules:
        return PackedMolecules(self.batch_index.repeat(n).sort().values, self.batch, self.features)


class Swapped(PackedMolecules):
    """A repeated space with as many atoms and molecules, in another order."""

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


def test_padding_must_be_without_noise() -> None:
    space = DenseMolecules(MASK, 2)
    check_space(space, padding=~MASK[..., None].repeat(1, 1, 5))
    with pytest.raises(AssertionError, match="noise is not 0 on padding"):
        check_space(space, padding=MASK[..., None].repeat(1, 1, 5))


@pytest.mark.parametrize(
    "space",
    [LettersSpace(3, (4,), 5), LettersSpace(2, (1, 3, 3), 2), LettersSpace.of_lengths(torch.tensor([3, 1, 5]), 4)],
)
def test_spaces_of_letters_pass(space: Space) -> None:
    check_space(space)


class Coarse(LettersSpace):
    def uniforms(self, generators: Sequence[torch.Generator]) -> Tensor:
        return super().uniforms(generators).float().clamp(max=0.99)


class Beyond(LettersSpace):
    """A space whose noise holds the mask."""

    def noise(self, generators: Sequence[torch.Generator]) -> Tensor:
        return self.clean((self.uniforms(generators) * (self.letters + 1)).long().clamp(min=1))


class Common(LettersSpace):
    def uniforms(self, generators: Sequence[torch.Generator]) -> Tensor:
        return super().uniforms([generators[0]] * self.batch)


class Spilled(LettersSpace):
    """A space that draws letters on padding."""

    def noise(self, generators: Sequence[torch.Generator]) -> Tensor:
        return super().noise(generators).clamp(min=0)


class Overcounted(LettersSpace):
    def sum(self, x: Tensor) -> Tensor:
        return x.flatten(1).sum(1)


LENGTHS = torch.tensor([3, 1, 5])


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        (Coarse(2, (3,), 5), "uniforms are torch.float32"),
        (Beyond(8, (9,), 3), "letters that are not below 3"),
        (Common(2, (3,), 5), "Generator 0 changes the noise of other samples"),
        (Spilled.of_lengths(LENGTHS, 4), "a letter at each site, and -1 elsewhere"),
        (Overcounted.of_lengths(LENGTHS, 4), "sum counts"),
    ],
    ids=lambda case: type(case).__name__,
)
def test_each_fault_of_a_space_of_letters_is_explained(space: Space, sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_space(space)
