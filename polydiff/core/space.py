r"""Spaces: where states live. A space is all that the mathematics of polydiff knows of a modality.

Gaussian diffusion needs three operations on its data: linear combinations with one coefficient a sample, a standard
normal draw, and a squared norm. States are tensors, which can be combined. A `Space` adds the draw and the norm for a
batch of B samples. The true dimension of a sample can be smaller than its number of elements, because of padding or
because states lie in a subspace. Noise is therefore

$$ \epsilon \sim \mathcal N(0, P), \qquad P^2 = P = P^T, \qquad \operatorname{tr} P = \mathrm{dim}, $$

with P the orthogonal projector on the subspace. Every formula of the library holds on every such space, if `noise`
draws all noise, `project` is applied to the output of a network, and `sum` takes all sums.

A state has the shape (R, ...). Most spaces have R = B, one row a sample. A space may also stack the parts of all
samples, such as atoms, along the first axis; then `expand` and `sum` map between rows and samples.

Symbols: B number of samples, R rows of a state, x state, eps noise, P projector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
"""A batch of states, a tensor (R, ...)."""


class Space(Protocol):
    """The inner-product space in which a batch of B states lives.

    `polydiff.testing.check_space` checks an implementation.
    """

    @property
    def batch(self) -> int:
        """Number of samples B."""

    @property
    def dim(self) -> Tensor:
        """True dimension tr P of each sample, shape (B,), on the device of the states."""

    def noise(self, generators: Sequence[torch.Generator]) -> State:
        """Draw eps from N(0, P), shape (R, ...).

        Arguments:
            generators: B random streams. Sample i uses generator i only, so it does not depend on its batch.
        """

    def project(self, x: State) -> State:
        """Return P x, shape (R, ...), for x of the same shape. P is idempotent and self-adjoint."""

    def expand(self, c: Tensor) -> Tensor:
        """Return numbers c in a shape that broadcasts against a state: () -> (), and (B,) -> (R, 1, ...)."""

    def sum(self, x: State) -> Tensor:
        """Return the sum over the elements of each sample, without padding: (R, ...) -> (B,)."""

    def to(self, device: Device) -> Space:
        """Return the same space on another device."""


class Repeats(Protocol):
    """A space that can repeat its batch. On any other space, guidance calls the network once for each estimate."""

    def repeat(self, n: int) -> Space:
        """Return the space of n copies of the batch, with n * B samples and states (n * R, ...).

        Guidance calls this at every evaluation. A space that is expensive to repeat should return the same object for
        the same n.
        """


class Matches(Protocol):
    """A space that holds more about its samples than their sizes, such as the elements of atoms."""

    def matches(self, other: Space) -> bool:
        """Return whether this information is equal in both spaces, so that their states can be interpolated."""


class Points(Space, Protocol):
    """A space of sets of points: a state has rows of 3 coordinates and K features.

    Positions are relative to the mean of their sample, so a sample of N points has 3 (N - 1) + N K dimensions.
    `project` and `sum` accept states with another number of features.

    Attributes:
        features: K.
    """

    features: int

    def with_features(self, features: int) -> Points:
        """Return the space of the same sets of points with another number of features."""


class HasComponents(Protocol):
    """A space whose states have several components, such as positions and features."""

    @property
    def components(self) -> Mapping[str, slice]:
        """Name of a component -> its range on the last axis of a state."""


def scaled(x: State, space: Space, factors: Mapping[str, float]) -> State:
    """Return a state (R, ..., F) with each named component multiplied by its factor.

    Arguments:
        x: State.
        space: Space of the state; one without `HasComponents` has no components.
        factors: Name of a component -> factor. Other components are unchanged.

    Raises:
        UserError: The space has no component of a name.
    """
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
    """Return the squared norm |x|^2 of each sample, shape (B,), for a state (R, ...)."""
    return space.sum(x * x)


def shared_level(level: float) -> Tensor:
    """Return a noise level that all samples share, as a tensor of shape (), float64, on the CPU.

    PyTorch combines such a tensor with states on any device, and reading it does not wait for a GPU.
    """
    return torch.full((), level, dtype=torch.float64, device="cpu")


def level_of(sigma: Tensor) -> float | None:
    """Return the noise level of all samples as a number if sigma has the shape (); None if it has the shape (B,)."""
    return None if sigma.ndim else float(sigma)


def per_sample(c: Tensor, x: State, space: Space) -> Tensor:
    """Return numbers c, shape () or (B,), as one number a sample, shape (B,), in the device and precision of x."""
    return c.to(x) if c.ndim else x.new_full((space.batch,), float(c))


@dataclass(frozen=True)
class Euclidean:
    """R^shape: images, waveforms, vectors.

    A state has the shape (B, *shape), and P is the identity.

    Arguments:
        batch: Number of samples B.
        shape: Shape of one sample; (): each sample is one number, and a state has the shape (B,).
        device: Device of the states.
        dtype: Precision of the states.
    """

    batch: int
    shape: tuple[int, ...]
    device: Device = "cpu"
    dtype: torch.dtype = torch.float32

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Shape (B, *shape) of a state."""
        return self.batch, *self.shape

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
        return x.flatten(1).sum(1) if self.shape else x

    def to(self, device: Device) -> Euclidean:
        return Euclidean(self.batch, self.shape, device, self.dtype)

    def repeat(self, n: int) -> Euclidean:
        return replace(self, batch=n * self.batch)


def normal(
    generators: Sequence[torch.Generator],
    shape: Sequence[int],
    device: Device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return standard normal numbers (B, *shape), one generator a sample. All noise of states is drawn here.

    Arguments:
        generators: B random streams, all on one device, where the numbers are drawn.
        shape: Shape of one sample.
        device: Device of the result.
        dtype: Precision of the result.
    """
    draws = torch.empty(len(generators), *shape, dtype=dtype, device=generators[0].device if generators else device)
    for row, generator in zip(draws, generators, strict=True):
        row.normal_(generator=generator)
    return draws.to(device)


class Restricts(Space, Protocol):
    """A subspace that has the projector on its states that are 0 off a mask in closed form."""

    def restrict(self, x: State, mask: Tensor) -> State:
        """Return the nearest state to x, (R, ...), that is 0 off a mask which broadcasts against it."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """y = A x_0 + noise: a linear operator on clean states, given by two functions.

    Arguments:
        forward: A, from states (R, ...) to measurements.
        adjoint: A*, from measurements to states: <A x, y> = <x, A* y>.
        space: Space of the measurements, for each sample's sums, norm and noise.
        unit: What 1 in the user's scale is in measurements; `polydiff.solve` states noise in that scale.
        simple: Estimate of the states from measurements by a simple method; None: the adjoint.
        method: Description of the simple method.
    """

    forward: Callable[[State], Tensor]
    adjoint: Callable[[Tensor], State]
    space: Space
    unit: float = 1.0
    simple: Callable[[Tensor], State] | None = None
    method: str = "the adjoint of the measurement"

    def estimate(self, y: Tensor) -> State:
        """Return the simple estimate of the states (R, ...) from measurements."""
        return (self.simple or self.adjoint)(y)

    def to(self, device: Device) -> Measurement:
        """Return the same measurement, with its space on another device."""
        return replace(self, space=self.space.to(device))


class Batch(NamedTuple):
    """A batch of states with their space and conditions.

    Attributes:
        x: States, shape (R, ...); with some processes a mapping of parts.
        space: The space of the states, with B samples.
        cond: Name of a condition -> tensor (B, ...) (`polydiff.core.conditions`); None: no condition.
    """

    x: State
    space: Space
    cond: Condition | None = None

    def to(self, device: Device) -> Batch:
        """Return the same batch on another device."""
        return Batch(state_to(self.x, device), self.space.to(device), condition_to(self.cond, device))


def state_to(x: Any, device: Device) -> Any:
    """Return a state (R, ...), or a mapping of parts of a state, on another device."""
    return {name: part.to(device) for name, part in x.items()} if isinstance(x, Mapping) else x.to(device)


def check_mask(mask: Any, x: Any) -> None:
    """Raise ValueError unless a mask broadcasts against a state and holds only 0 and 1.

    Arguments:
        mask: Tensor, 1 (or True) for known elements; a mapping with a mask for each part if x is a mapping.
        x: State (R, ...), or a mapping of parts.
    """
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
        raise ValueError("mask must hold only 0 and 1, or False and True: 0 for unknown elements, 1 for known ones.")
