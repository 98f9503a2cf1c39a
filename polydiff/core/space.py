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
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from polydiff.core.condition_batch import condition_to
from polydiff.core.conditions import Condition
from polydiff.core.streams import Device
from polydiff.support.errors import unknown
from polydiff.support.protocols import provides

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


class Repeats(Protocol):
    """A space that can hold its batch several times. Without it, guidance calls a network once for each estimate."""

    def repeat(self, n: int) -> Space:
        """Return where n copies of the batch live, whose states are n states joined along the first axis.

        Guidance calls this at every evaluation, so a space that is expensive to repeat should return the same object.
        """


class Matches(Protocol):
    """A space that knows more of its examples than their sizes, such as the elements of atoms."""

    def matches(self, other: Space) -> bool:
        """Return whether what is known is the same of both, so that there are states between those of the two."""


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
    known = space.components if provides(space, HasComponents) else {}
    scale = x.new_ones(x.shape[-1])
    for name, factor in factors.items():
        if name not in known:
            raise unknown("component of these states", name, known)
        scale[known[name]] = factor
    return x * scale


def sqnorm(space: Space, x: State) -> Tensor:
    """Return the squared norm of each sample, shape (B,)."""
    return space.sum(x * x)


def shared_level(level: float) -> Tensor:
    """Return a noise level that all samples share: shape (), float64, on the CPU whatever the device of the states.

    Operations take such a tensor beside states on any device, and reading it never waits for a GPU.
    """
    return torch.full((), level, dtype=torch.float64, device="cpu")


def level_of(sigma: Tensor) -> float | None:
    """Return the noise level that all samples share, shape (); None if each sample has its own, shape (B,)."""
    return None if sigma.ndim else float(sigma)


def per_sample(c: Tensor, x: State, space: Space) -> Tensor:
    """Return numbers () or (B,) as one number a sample, shape (B,), with the device and precision of states x."""
    return c.to(x) if c.ndim else x.new_full((space.batch,), float(c))


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
        return Batch(state_to(self.x, device), self.space.to(device), condition_to(self.cond, device))


def state_to(x: Any, device: Device) -> Any:
    """Return a state on another device; one that is a mapping of parts, part by part."""
    return {name: part.to(device) for name, part in x.items()} if isinstance(x, Mapping) else x.to(device)


def check_mask(mask: Any, x: Any) -> None:
    """Raise ValueError unless a mask broadcasts against the state x, or part by part, and holds only 0 and 1."""
    if isinstance(x, Mapping):
        if not isinstance(mask, Mapping) or mask.keys() != x.keys():
            raise ValueError(f"mask must be a mapping with a mask for each part of the state: {', '.join(x)}.")
        for name, part in x.items():
            check_mask(mask[name], part)
        return
    if not isinstance(mask, Tensor):
        raise ValueError(f"mask must be a tensor, 1 or True where known, not {type(mask).__name__}.")
    sizes = zip(reversed(mask.shape), reversed(x.shape), strict=False)
    if mask.dim() > x.dim() or any(ours not in (1, theirs) for ours, theirs in sizes):
        raise ValueError(f"mask has the shape {tuple(mask.shape)}, which does not broadcast against {tuple(x.shape)}.")
    if not ((mask == 0) | (mask == 1)).all():
        raise ValueError("mask must hold nothing but 0 and 1, or False and True: what is unknown and what is known.")
