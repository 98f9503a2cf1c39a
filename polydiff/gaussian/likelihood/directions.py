r"""Directions of a space, sample by sample: for traces of a Jacobian and for the diagonal of the projector.

With e_k the unit vectors of a sample's own numbers (padding left out), the P e_k are a tight frame of the space,

$$ \sum_k (P e_k)(P e_k)^T = P, \qquad \operatorname{tr}(P J P) = \sum_k \langle P e_k, J P e_k \rangle, $$

and so are, on average, P z with z of independent random signs (Hutchinson, 1990,
https://doi.org/10.1080/03610919008812866).

Symbols: P projector, e_k unit vectors, z random signs, J a Jacobian.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from polydiff.core.space import Space, State


def elements(space: Space, like: State) -> list[Tensor]:
    """Return where each sample's own numbers stand in the flattened state, in their order, padding left out."""
    own = owned(space, like).flatten() != 0
    owner = space.expand(torch.arange(space.batch, device=like.device)).expand(like.shape).flatten()
    return [(own & (owner == i)).nonzero()[:, 0] for i in range(space.batch)]


def owned(space: Space, like: State) -> State:
    """Return 1 at the numbers that `Space.sum` adds up, 0 on padding: the sum's gradient."""
    with torch.enable_grad():
        x = torch.zeros_like(like, requires_grad=True)
        return torch.autograd.grad(space.sum(x).sum(), x)[0]


def directions(space: Space, like: State) -> Iterator[State]:
    """Yield P e_k, k = 0, 1, ...: the k-th direction of every sample at once, 0 for a sample that has fewer."""
    for place in ranked(elements(space, like)):
        yield space.project(unit(like, place))


def ranked(owners: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yield where the k-th number of each sample stands, for all samples that have as many."""
    for k in range(max((len(places) for places in owners), default=0)):
        yield torch.stack([places[k] for places in owners if k < len(places)])


def unit(like: State, place: Tensor) -> State:
    """Return a state that is 1 at these places, 0 elsewhere."""
    e = torch.zeros_like(like).flatten()
    e[place] = 1
    return e.reshape(like.shape)


def diagonal(space: Space, like: State) -> State:
    """Return the diagonal of P, of the shape of a state, 0 on padding; its sum over a sample is the dimension."""
    own = owned(space, like)
    ramp = torch.arange(like.numel(), device=like.device, dtype=like.dtype).cos().reshape(like.shape) * own
    if torch.equal(space.project(ramp), ramp):  # the whole of R^n
        return own
    diag = torch.zeros_like(like).flatten()
    for place in ranked(elements(space, like)):
        diag[place] = space.project(unit(like, place)).flatten()[place]
    return diag.reshape(like.shape)


def signs(space: Space, like: State, generators: Sequence[torch.Generator]) -> State:
    """Return P z, with z of independent signs, those of sample i from generator i."""
    z = torch.zeros_like(like).flatten()
    for places, generator in zip(elements(space, like), generators, strict=True):
        z[places] = random_signs(len(places), generator).to(z)
    return space.project(z.reshape(like.shape))


def random_signs(n: int, generator: torch.Generator) -> Tensor:
    """Return n numbers, each 1 or -1."""
    return 2.0 * (torch.rand(n, generator=generator, device=generator.device) < 0.5) - 1
