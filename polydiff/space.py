r"""Where states live: all that the core knows of a modality.

A Gaussian diffusion needs three things of its data: linear combinations with one number per sample, one standard
normal draw, and one squared norm. A `Space` provides the last two for a batch of B samples. States are tensors; a
sample's true dimension can be smaller than its number of elements (padding, or a subspace), and noise is

$$ \epsilon \sim \mathcal N(0, P), \qquad P^2 = P = P^T, \qquad \operatorname{tr} P = \mathrm{dim}, $$

with P the orthogonal projector on the subspace. Every formula of the core holds unchanged on any such space, provided
that noise is drawn by `noise`, a network's output is passed through `project`, and sums are taken by `sum`.

Symbols: x state, B batch, P projector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from polydiff.condition_batch import condition_to as condition_to
from polydiff.condition_batch import drop_condition as drop_condition
from polydiff.condition_batch import join_conditions as join_conditions
from polydiff.condition_batch import same_conditions as same_conditions
from polydiff.condition_batch import without as without
from polydiff.conditions import Condition as Condition
from polydiff.conditions import absent as absent
from polydiff.errors import unknown
from polydiff.random import Device

State = Tensor


class Space(Protocol):
    """The inner-product space in which a batch of states lives."""

    @property
    def batch(self) -> int:
        """B, the number of samples."""

    @property
    def dim(self) -> Tensor:
        """True dimension of each sample, shape (B,): tr P."""

    def noise(self, generators: Sequence[torch.Generator]) -> State:
        """Draw from N(0, P), sample i from generator i alone."""

    def project(self, x: State) -> State:
        """Return P x: idempotent and self-adjoint."""

    def expand(self, c: Tensor) -> Tensor:
        """Shape numbers () or (B,) so that they broadcast against a state."""

    def sum(self, x: State) -> Tensor:
        """Sum each sample's own elements (padding left out), shape (B,)."""

    def to(self, device: Device) -> Space:
        """Return the same space on another device."""


@runtime_checkable
class Repeats(Protocol):
    """A space that can hold its batch several times. Without it, guidance calls a network once for each estimate."""

    def repeat(self, n: int) -> Space:
        """Return where n copies of the batch live, whose states are n states joined along the first axis."""


@runtime_checkable
class Matches(Protocol):
    """A space that knows more of its examples than their sizes, such as the elements of atoms."""

    def matches(self, other: Space) -> bool:
        """Return whether what is known is the same of both, so that there are states between those of the two."""


@runtime_checkable
class HasComponents(Protocol):
    """A space whose states have parts of several kinds, such as positions and features.

    Attributes:
        components: Name -> its places along a state's last axis.
    """

    @property
    def components(self) -> Mapping[str, slice]:
        """Name -> its places along a state's last axis."""


def scaled(x: State, space: Space, factors: Mapping[str, float]) -> State:
    """Return a state with its components times their factors; a name that is no component's is a `UserError`."""
    if not factors:
        return x
    known = space.components if isinstance(space, HasComponents) else {}
    scale = x.new_ones(x.shape[-1])
    for name, factor in factors.items():
        if name not in known:
            raise unknown("component of these states", name, known)
        scale[known[name]] = factor
    return x * scale


def sqnorm(space: Space, x: State) -> Tensor:
    """Return the squared norm of each sample, shape (B,)."""
    return space.sum(x * x)


def level_of(sigma: Tensor) -> float | None:
    """Return the noise level that all samples share, where the host knows it: nobody need wait for a device to ask."""
    level: float | None = getattr(sigma, "host_level", None)
    return level


def at_level(level: float, x: State, space: Space) -> Tensor:
    """Return a noise level for each sample, shape (B,), that `level_of` can read."""
    sigma = x.new_full((space.batch,), level)
    sigma.host_level = level  # type: ignore[attr-defined]
    return sigma


@dataclass(frozen=True)
class Euclidean:
    """R^shape: images, waveforms, vectors.

    Arguments:
        batch: Number of samples B.
        shape: Shape of one sample.
        device: Where states live.
        dtype: Their precision.
    """

    batch: int
    shape: tuple[int, ...]
    device: Device = "cpu"
    dtype: torch.dtype = torch.float32

    @property
    def dim(self) -> Tensor:
        size = torch.Size(self.shape).numel()
        return torch.full((self.batch,), size, device=self.device, dtype=self.dtype)

    def noise(self, generators: Sequence[torch.Generator]) -> State:
        return normal(generators, self.shape, self.device, self.dtype)

    def project(self, x: State) -> State:
        return x

    def expand(self, c: Tensor) -> Tensor:
        return c.reshape(-1, *(1 for _ in self.shape)) if c.ndim else c

    def sum(self, x: State) -> Tensor:
        return x.flatten(1).sum(1)

    def to(self, device: Device) -> Euclidean:
        return Euclidean(self.batch, self.shape, device, self.dtype)

    def repeat(self, n: int) -> Euclidean:
        return replace(self, batch=n * self.batch)


def normal(
    generators: Sequence[torch.Generator], shape: Sequence[int], device: Device, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Draw standard normal numbers (B, *shape), one generator a sample: the one place where noise is drawn."""
    draws = torch.empty(len(generators), *shape, dtype=dtype, device=generators[0].device if generators else device)
    for row, generator in zip(draws, generators, strict=True):
        row.normal_(generator=generator)
    return draws.to(device)


class Batch(NamedTuple):
    """States, where they live, and conditions that mean nothing to the core."""

    x: State
    space: Space
    cond: Condition | None = None

    def to(self, device: Device) -> Batch:
        """Return the same batch on another device."""
        return Batch(self.x.to(device), self.space.to(device), condition_to(self.cond, device))
