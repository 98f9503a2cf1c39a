r"""Directions of a space, for the trace of a Jacobian and the diagonal of the projector, for each sample by itself.

Let e_k be the unit vectors of a sample's own numbers, without padding. The P e_k are a tight frame of the space,

$$ \sum_k (P e_k)(P e_k)^T = P, \qquad \operatorname{tr}(P J P) = \sum_k \langle P e_k, J P e_k \rangle, $$

On average over independent random signs z, so is P z (Hutchinson, 1990,
https://doi.org/10.1080/03610919008812866).

Symbols: P projector, e_k unit vectors, z random signs, J a Jacobian.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from polydiff.core.space import Space, State
from polydiff.gaussian.gradients import gradients, variable


def elements(space: Space, like: State) -> list[Tensor]:
    """Return for each sample the places of its own numbers in the flattened state, in order, without padding."""
    own = owned(space, like).flatten() != 0
    owner = space.expand(torch.arange(space.batch, device=like.device)).expand(like.shape).flatten()
    return [(own & (owner == i)).nonzero()[:, 0] for i in range(space.batch)]


def owned(space: Space, like: State) -> State:
    """Return a state that is 1 at the numbers that `Space.sum` adds up and 0 on padding: the sum's gradient."""
    with gradients():
        x = variable(torch.zeros_like(like))
        return torch.autograd.grad(space.sum(x).sum(), x)[0]


def directions(space: Space, like: State) -> Iterator[State]:
    """Yield P e_k for k = 0, 1, ..., states with one direction for every sample; 0 for a sample with fewer numbers."""
    for place in ranked(elements(space, like)):
        yield space.project(unit(like, place))


def ranked(owners: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yield the places of the k-th number of each sample, for k = 0, 1, ...; samples with fewer numbers drop out."""
    for k in range(max((len(places) for places in owners), default=0)):
        yield torch.stack([places[k] for places in owners if k < len(places)])


def unit(like: State, place: Tensor) -> State:
    """Return a state that is 1 at these places of the flattened state and 0 elsewhere."""
    e = torch.zeros_like(like).flatten()
    e[place] = 1
    return e.reshape(like.shape)


def diagonal(space: Space, like: State) -> State:
    """Return the diagonal of P in the shape of a state, 0 on padding; its sum over a sample is the dimension."""
    own = owned(space, like)
    ramp = torch.arange(like.numel(), device=like.device, dtype=like.dtype).cos().reshape(like.shape) * own
    if torch.equal(space.project(ramp), ramp):  # P is the identity: no need for one projection a number
        return own
    diag = torch.zeros_like(like).flatten()
    for place in ranked(elements(space, like)):
        diag[place] = space.project(unit(like, place)).flatten()[place]
    return diag.reshape(like.shape)


def signs(space: Space, like: State, generators: Sequence[torch.Generator]) -> State:
    """Return P z, a state, for independent random signs z; generator i draws those of sample i."""
    z = torch.zeros_like(like).flatten()
    for places, generator in zip(elements(space, like), generators, strict=True):
        z[places] = random_signs(len(places), generator).to(z)
    return space.project(z.reshape(like.shape))


def random_signs(n: int, generator: torch.Generator) -> Tensor:
    """Return n numbers, each 1 or -1."""
    return 2.0 * (torch.rand(n, generator=generator, device=generator.device) < 0.5) - 1
