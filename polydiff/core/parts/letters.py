"""Spaces of letters: states whose sites hold one of K categories, as whole numbers.

A state of B samples is a tensor int64 (R, ...) with letters 0 .. K - 1, and `PAD` where a sample has no site. A process
may add a letter of its own, such as the mask, which has the number K.

A process draws all random choices of letters by one uniform number a site, through `Letters.uniforms`. So a space says
which sites a sample has, and which of them hold the same letter, such as the two halves of a symmetric matrix of bonds.

Symbols: B number of samples, R rows of a state, K number of letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from polydiff.core.space import Space
from polydiff.core.streams import Device

PAD = -1
"""Letter of places that are no site of their sample."""


class Letters(Space, Protocol):
    """A space of categorical sites. As a `Space`, its `noise` draws letters uniformly, and its `project` is `clean`.

    `dim` is the number of sites of each sample, and `sum` counts each site once.
    """

    @property
    def letters(self) -> int:
        """Number of letters K that data have."""

    def uniforms(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Return one number of [0, 1) a site, float64, shape (R, ...), equal at sites that hold the same letter.

        Arguments:
            generators: B random streams. The numbers of sample i depend on generator i and its own sites only.
        """

    def clean(self, x: Tensor) -> Tensor:
        """Return letters (R, ...) with `PAD` outside all sites."""

    def repeat(self, n: int) -> Letters:
        """Return the space of n copies of the batch."""

    def to(self, device: Device) -> Letters:
        """Return the same space on another device."""


@dataclass(frozen=True, eq=False)
class Totals:
    """How many sites of each sample hold letters of each of G groups, such as the atoms of each element in a formula.

    Samples of masked letters meet them exactly (`polydiff.parts.letters.totals`). They change neither training nor
    likelihoods.

    Arguments:
        groups: Group of each letter, (K,), int64.
        counts: Number of sites of each group, (B, G), int64; those of a sample add up to its number of sites.
    """

    groups: Tensor
    counts: Tensor

    def to(self, device: Device) -> Totals:
        return Totals(self.groups.to(device), self.counts.to(device))

    def repeat(self, n: int) -> Totals:
        return Totals(self.groups, self.counts.repeat(n, 1))


class HasTotals(Protocol):
    """A space of letters that may know how many sites hold letters of each group."""

    @property
    def totals(self) -> Totals | None:
        """The numbers of sites; None if they are unknown."""


@dataclass(frozen=True, eq=False)
class LettersSpace:
    """Letters at the places of an array: texts (B, L), images of grey levels (B, C, H, W).

    Arguments:
        batch: Number of samples B.
        shape: Shape of one sample.
        letters: Number of letters K.
        mask: True at sites, False at padding, (B, *shape); None: all places are sites.
        device: Device of the states.
        totals: How many sites hold letters of each group; None: unknown.
    """

    batch: int
    shape: tuple[int, ...]
    letters: int
    mask: Tensor | None = None
    device: Device = "cpu"
    totals: Totals | None = None

    @classmethod
    def of_lengths(cls, lengths: Tensor, letters: int, multiple: int = 1) -> LettersSpace:
        """Return the space of texts of given lengths, padded at the end.

        Arguments:
            lengths: Number of sites of each text, (B,).
            letters: Number of letters.
            multiple: The padded length is rounded up to a multiple of this.
        """
        longest = -(-int(lengths.max()) // multiple) * multiple
        mask = torch.arange(longest, device=lengths.device) < lengths[:, None]
        return cls(len(lengths), (longest,), letters, None if bool(mask.all()) else mask, lengths.device)

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Shape (B, *shape) of a state."""
        return self.batch, *self.shape

    @cached_property
    def counts(self) -> list[int]:
        """Number of sites of each sample as integers, cached to read them from the device only once."""
        size = torch.Size(self.shape).numel()
        return [size] * self.batch if self.mask is None else self.mask.flatten(1).sum(1).tolist()

    @property
    def dim(self) -> Tensor:
        return torch.tensor(self.counts, device=self.device, dtype=torch.float32)

    def uniforms(self, generators: Sequence[torch.Generator]) -> Tensor:
        numbers = uniform_numbers(generators, self.counts, self.device)
        if self.mask is None:
            return torch.stack(numbers).reshape(self.state_shape)
        out = torch.zeros(self.state_shape, dtype=torch.float64, device=self.device)
        out[self.mask] = torch.cat(numbers)
        return out

    def noise(self, generators: Sequence[torch.Generator]) -> Tensor:
        return self.clean((self.uniforms(generators) * self.letters).long())

    def clean(self, x: Tensor) -> Tensor:
        return x if self.mask is None else torch.where(self.mask, x, PAD)

    def project(self, x: Tensor) -> Tensor:
        return self.clean(x)

    def expand(self, c: Tensor) -> Tensor:
        return c.reshape(-1, *(1 for _ in self.shape)) if c.ndim else c

    def sum(self, x: Tensor) -> Tensor:
        masked = x if self.mask is None else torch.where(self.mask, x, torch.zeros_like(x))
        return masked.flatten(1).sum(1)

    def to(self, device: Device) -> LettersSpace:
        mask = None if self.mask is None else self.mask.to(device)
        totals = None if self.totals is None else self.totals.to(device)
        return replace(self, mask=mask, device=device, totals=totals)

    @cached_property
    def repeated(self) -> dict[int, LettersSpace]:
        """n -> `repeat(n)`, cached because guidance repeats a batch at every evaluation."""
        return {}

    def repeat(self, n: int) -> LettersSpace:
        if n not in self.repeated:
            mask = None if self.mask is None else self.mask.repeat(n, *(1 for _ in self.shape))
            totals = None if self.totals is None else self.totals.repeat(n)
            self.repeated[n] = replace(self, batch=n * self.batch, mask=mask, totals=totals)
        return self.repeated[n]


def uniform_numbers(
    generators: Sequence[torch.Generator], counts: Sequence[int], device: Device = "cpu"
) -> list[Tensor]:
    """Return uniform numbers of [0, 1), float64: for each generator a tensor of so many. All choices are drawn here.

    In float32 they would be multiples of 2^-24, and a letter of probability q in a step would be drawn with a
    probability far from q where q is not much larger than that.

    Arguments:
        generators: B random streams, one a sample.
        counts: How many numbers each gives, B numbers.
        device: Device of the result.
    """
    return [
        torch.rand(count, generator=generator, dtype=torch.float64, device=generator.device).to(device)
        for generator, count in zip(generators, counts, strict=True)
    ]
