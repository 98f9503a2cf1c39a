r"""Codes: the spaces that they live in, and what their channels are.

The code of a grid, such as an image, is a grid (B, K, ...), and its channels are the K of axis 1. The code of a set of
N points has a position and K features for each point: its positions, whose mean is zero, are one channel, because a
rotation mixes their coordinates, and each feature is another one. One scale for all positions keeps whatever works on
codes equivariant.

Symbols: B batch, K features of a code, C channels: K, or 1 + K for points; z codes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeGuard

import torch
from torch import Tensor

from polydiff.core.objective import alone
from polydiff.core.space import Euclidean, Points, Space
from polydiff.core.streams import Device
from polydiff.support.protocols import provides

COORDINATES = 3
"""Coordinates of a point."""


@dataclass(frozen=True)
class CodeSpace(Euclidean):
    """The space of the codes of states on a grid: R^shape, with the space of the states.

    Arguments:
        states: Space of the states that the codes decode to.
    """

    states: Euclidean | None = None

    def to(self, device: Device) -> CodeSpace:
        states = None if self.states is None else self.states.to(device)
        return CodeSpace(self.batch, self.shape, device, self.dtype, states)

    def repeat(self, n: int) -> CodeSpace:
        states = None if self.states is None else self.states.repeat(n)
        return CodeSpace(n * self.batch, self.shape, self.device, self.dtype, states)


def has_points(space: object) -> TypeGuard[Points]:
    """Return whether states of a space are sets of points."""
    return provides(space, Points)


def code_space(z: Tensor, states: Space) -> Space:
    """Return the space of codes z of states of a space."""
    if has_points(states):
        return states.with_features(z.shape[-1] - COORDINATES)
    assert isinstance(states, Euclidean)
    return CodeSpace(states.batch, tuple(z.shape[1:]), states.device, states.dtype, states)


def channels_and_dims(space: Space) -> tuple[int, int]:
    """Return the features of codes of a space and their dimensions, as `contract.backbone.build_backbone` counts."""
    if has_points(space):
        return space.features, COORDINATES
    assert isinstance(space, CodeSpace)
    return space.shape[0], len(space.shape) - 1


def split(z: Tensor) -> tuple[Tensor, Tensor]:
    """Return positions (.., 3) and features (.., K) of codes (.., 3 + K) of points."""
    return z[..., :COORDINATES], z[..., COORDINATES:]


@dataclass(frozen=True)
class Moments:
    """Sums over the numbers of each channel of codes, float64 (C,) each.

    Arguments:
        count: Number of the numbers; for positions their degrees of freedom.
        total: Their sum.
        squares: Sum of their squares.
    """

    count: Tensor
    total: Tensor
    squares: Tensor

    @classmethod
    def of(cls, z: Tensor, space: Space) -> Moments:
        """Return the moments of codes of a space."""
        z = z.double()
        if not has_points(space):
            each = z.transpose(0, 1).flatten(1)
            return cls(each.new_full((len(each),), each.shape[1]), each.sum(1), each.square().sum(1))
        r, f = split(z)
        free, n = position_dim(space).double().sum()[None], point_counts(space).double().sum()[None]
        total, squares = sums(f, space).sum(0), sums(f.square(), space).sum(0)
        return cls(
            torch.cat([free.clamp_min(1), n.expand(len(total))]),
            torch.cat([torch.zeros_like(free), total]),
            torch.cat([space.sum(r.square()).sum()[None], squares]),
        )

    def __add__(self, other: Moments) -> Moments:
        """Return the moments of the numbers of both."""
        return Moments(self.count + other.count, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> Tensor:
        """Mean of each channel; positions have the mean 0."""
        return self.total / self.count

    @property
    def std(self) -> Tensor:
        """Standard deviation of each channel."""
        return (self.squares / self.count - self.mean.square()).clamp_min(1e-12).sqrt()


def over_channels(numbers: Tensor, z: Tensor, space: Space) -> Tensor:
    """Return one number for each channel (C,) in a shape that broadcasts against codes z of a space."""
    numbers = numbers.to(z)
    if has_points(space):
        return torch.cat([numbers[:1].expand(COORDINATES), numbers[1:]])
    return numbers.reshape(-1, *(1 for _ in z.shape[2:]))


def channel_std(z: Tensor, space: Space, gather: Callable[[Tensor], Tensor] = alone) -> Tensor:
    """Return the standard deviation of each channel of codes over the batch, in a shape that broadcasts against z.

    Arguments:
        z: Codes.
        space: Their space.
        gather: Rows (1, ...) of this process -> those of all processes that share the batch.
    """
    own = Moments.of(z, space)
    count, total, squares = gather(torch.stack([own.count, own.total, own.squares])[None]).sum(0)
    return over_channels(Moments(count, total, squares).std, z, space)


def nats(mean: Tensor, log_variance: Tensor, space: Space) -> Tensor:
    r"""Return the divergence of codes from standard normal ones of their space, in nats a number, (B,).

    With the projector P of the space it is that of N(mean, P V P) from N(0, P). The variances V of a sample's positions
    are equal, so that P commutes with V, and 3 (N - 1) directions count.

    Arguments:
        mean: Means of codes.
        log_variance: Log variances V of each number, of the shape of the means.
        space: Space of the codes.
    """
    spread = (log_variance.exp() - 1 - log_variance) / 2
    if has_points(space):
        r, f = split(spread)
        share = position_dim(space) / (COORDINATES * point_counts(space)).clamp(min=1)
        spread = torch.cat([r * space.expand(share.to(r)), f], -1)
    return space.sum(mean.square() / 2 + spread) / space.dim.clamp(min=1)


def position_dim(space: Points) -> Tensor:
    """Return the degrees of freedom of the positions of each sample, (B,)."""
    return space.with_features(0).dim


def point_counts(space: Points) -> Tensor:
    """Return the number of points of each sample, (B,)."""
    return space.with_features(1).dim - position_dim(space)


def sums(f: Tensor, space: Points) -> Tensor:
    """Return the sums (B, K) of features (.., K) over the points of each sample."""
    return torch.stack([space.sum(column) for column in f.split(1, -1)], -1)


def products(f: Tensor, space: Points) -> Tensor:
    """Return the sums (B, K, K) of the products of features (.., K) over the points of each sample."""
    return torch.stack([sums(column * f, space) for column in f.split(1, -1)], 1)


def set_moments(z: Tensor, space: Points) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what `polydiff.metrics.principal.principal_std_of_sets` takes, of codes of points."""
    r, f = split(z)
    positions = space.sum(r.square()) / position_dim(space).clamp(min=1)
    return positions, sums(f, space), products(f, space), point_counts(space)
