r"""Pairs of atoms of each molecule in a batch, in two layouts that give the same sums.

`DensePairs` holds padded pairs (B, N, N); `SparsePairs` holds a list of the E real ones, as PyTorch Geometric does.
Pair (i, j) is a message from atom j to atom i; there is no pair i = j. All pairs have the weight 1. With a cut-off D,
the weight of a pair at distance d is

$$ c(d) = 1 - s^3 (10 - 15 s + 6 s^2), \qquad s = \mathrm{clip}(4 d / D - 3, 0, 1), $$

which is 1 up to 3/4 D, 0 from D on, and twice differentiable, so that outputs are smooth as atoms move. The list then
holds only pairs nearer than D.

Symbols: B molecules, n atoms in a molecule, N the largest n, M atoms in all, E pairs in all, K numbers an atom or pair,
C weights a pair.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from polydiff.backbones.molecules.neighbour_pairs import near_pairs
from polydiff.core.space import Space
from polydiff.support.errors import UserError


class Pairs(Protocol):
    """A batch of graphs, each of one molecule's atoms."""

    @property
    def sizes(self) -> Tensor:
        """n of each molecule, shape (B,)."""

    def clean(self, x: Tensor) -> Tensor:
        """Return atoms' numbers with 0 on padding."""

    def atoms(self, c: Tensor) -> Tensor:
        """Return for each atom the numbers (B, K) of its molecule; broadcasts against atoms' numbers."""

    def mean(self, h: Tensor) -> Tensor:
        """Return the mean over each molecule's atoms, shape (B, K)."""

    def degree(self, dtype: torch.dtype) -> Tensor:
        """Return the sum of c_ij over j for each atom i, (.., 1): its number of neighbours."""

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        """Return a_i + b_j of each pair."""

    def products(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the inner products of a_i and b_j (.., C, K) of each pair, (.., C)."""

    def sum(self, m: Tensor) -> Tensor:
        """Return the sum over j of c_ij m_ij for each atom i."""

    def weighted_sum(self, w: Tensor, m: Tensor) -> Tensor:
        """Return the sum over j of c_ij w_ij m_ij for each atom i, with w (.., 1) and m (.., K)."""

    def outer_sum(self, w: Tensor, m: Tensor) -> Tensor:
        """Return the sum over j of c_ij w_ij m_ij^T for each atom i, (.., C, K), with w (.., C) and m (.., K)."""

    def matrices(self, w: Tensor) -> list[Tensor]:
        """Return c_ij w_ij of pairs (..) as a matrix (n, n) for each molecule, 0 on the diagonal."""

    def mix(self, w: Tensor, v: Tensor) -> Tensor:
        """Return the sum over j of c_ij w_ij v_j for each atom i, (.., C, K), with w (.., C) and v (.., C, K)."""


class DensePairs:
    """Pairs as (B, N, N, K), with a mask.

    Arguments:
        mask: True at atoms, shape (B, N).
        r: Positions (B, N, 3), for a cut-off, and for its precision.
        within: D; None: all pairs.
    """

    def __init__(self, mask: Tensor, r: Tensor | None = None, within: float | None = None) -> None:
        self.mask = mask
        others = ~torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
        self.weight = mask[:, :, None] & mask[:, None, :] & others
        if r is not None:
            self.weight = self.weight.to(r.dtype)  # converted once, not in every product
        if within is not None and r is not None:
            clean = self.clean(r)
            self.weight = self.weight * envelope(clean[:, :, None] - clean[:, None], within)

    @property
    def sizes(self) -> Tensor:
        return self.mask.sum(1)

    def clean(self, x: Tensor) -> Tensor:
        return torch.where(self.mask[..., None], x, torch.zeros_like(x))

    def atoms(self, c: Tensor) -> Tensor:
        return c[:, None]

    def mean(self, h: Tensor) -> Tensor:
        return self.clean(h).sum(1) / self.sizes.clamp(min=1)[:, None]

    def degree(self, dtype: torch.dtype) -> Tensor:
        return self.weight.sum(2, dtype=dtype)[..., None]

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        return a[:, :, None] + b[:, None]

    def products(self, a: Tensor, b: Tensor) -> Tensor:
        return (a.transpose(1, 2) @ b.permute(0, 2, 3, 1)).permute(0, 2, 3, 1)

    def sum(self, m: Tensor) -> Tensor:
        return (m * self.weight[..., None]).sum(2)

    def weighted_sum(self, w: Tensor, m: Tensor) -> Tensor:
        return self.outer_sum(w, m).squeeze(-2)

    def outer_sum(self, w: Tensor, m: Tensor) -> Tensor:
        weighted = w * self.weight[..., None]  # (B, N, N, C): a matrix product avoids (B, N, N, C, K)
        return weighted.mT @ m

    def matrices(self, w: Tensor) -> list[Tensor]:
        return [one[own][:, own] for one, own in zip(w * self.weight, self.mask, strict=True)]

    def mix(self, w: Tensor, v: Tensor) -> Tensor:
        weighted = w * self.weight[..., None]
        return (weighted.permute(0, 3, 1, 2) @ v.transpose(1, 2)).transpose(1, 2)


class SparsePairs:
    """Pairs as (E, K), sorted by receiving atom.

    Arguments:
        batch_index: Molecule of each atom, non-decreasing, shape (M,).
        batch: B.
        r: Positions (M, 3), for a cut-off.
        within: D; None: all pairs.
    """

    def __init__(self, batch_index: Tensor, batch: int, r: Tensor | None = None, within: float | None = None) -> None:
        self.batch_index = batch_index
        self.sizes = torch.bincount(batch_index, minlength=batch)
        self.weight: Tensor | None = None
        if within is None or r is None:
            self.receiver, self.sender = all_pairs(batch_index, self.sizes)
        else:
            self.receiver, self.sender = near_pairs(r.detach(), batch_index, within)
            self.weight = envelope(self.combine(r, -r), within)[:, None]
        self.scatter = torch_geometric_scatter()

    def clean(self, x: Tensor) -> Tensor:
        return x

    def atoms(self, c: Tensor) -> Tensor:
        return c.index_select(0, self.batch_index)

    def mean(self, h: Tensor) -> Tensor:
        total = self.scatter(h, self.batch_index, dim=0, dim_size=len(self.sizes), reduce="sum")
        return total / self.sizes.clamp(min=1)[:, None]

    def degree(self, dtype: torch.dtype) -> Tensor:
        if self.weight is None:
            return (self.sizes - 1).index_select(0, self.batch_index)[:, None].to(dtype)
        return self.gather(self.weight).to(dtype)

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        return a.index_select(0, self.receiver) + b.index_select(0, self.sender)

    def products(self, a: Tensor, b: Tensor) -> Tensor:
        return (a.index_select(0, self.receiver) * b.index_select(0, self.sender)).sum(-1)

    def sum(self, m: Tensor) -> Tensor:
        return self.gather(m if self.weight is None else self.weight * m)

    def weighted_sum(self, w: Tensor, m: Tensor) -> Tensor:
        return self.gather(self.weighted(w) * m)

    def outer_sum(self, w: Tensor, m: Tensor) -> Tensor:
        return self.gather(self.weighted(w)[..., None] * m[:, None])

    def matrices(self, w: Tensor) -> list[Tensor]:
        first = self.sizes.cumsum(0) - self.sizes
        place = torch.arange(len(self.batch_index), device=w.device) - first[self.batch_index]
        weighted, molecule = self.weighted(w[:, None])[:, 0], self.batch_index[self.receiver]
        found = []
        for b, n in enumerate(self.sizes.tolist()):
            own = molecule == b
            matrix = w.new_zeros(n, n)
            matrix[place[self.receiver[own]], place[self.sender[own]]] = weighted[own]
            found.append(matrix)
        return found

    def mix(self, w: Tensor, v: Tensor) -> Tensor:
        return self.gather(self.weighted(w)[..., None] * v.index_select(0, self.sender))

    def weighted(self, w: Tensor) -> Tensor:
        """Return c_ij w_ij."""
        return w if self.weight is None else w * self.weight

    def gather(self, m: Tensor) -> Tensor:
        """Return the sum over j of m_ij for each atom i."""
        return self.scatter(m, self.receiver, dim=0, dim_size=len(self.batch_index), reduce="sum")


def envelope(difference: Tensor, within: float) -> Tensor:
    """Return c of pairs (..) from the differences of their positions (.., 3)."""
    distance = (difference.square().sum(-1) + 1e-12).sqrt()  # the root has no derivative at 0
    s = (4 / within * distance - 3).clamp(0, 1)
    return 1 - s**3 * (10 - 15 * s + 6 * s**2)


def all_pairs(batch_index: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Return receivers i and senders j, each (E,), of all pairs i != j within a molecule, sorted by i."""
    first = (sizes.cumsum(0) - sizes)[batch_index]
    count = sizes[batch_index]
    atoms = torch.arange(len(batch_index), device=batch_index.device)
    receiver = atoms.repeat_interleave(count)
    start = (count.cumsum(0) - count).repeat_interleave(count)
    sender = torch.arange(len(receiver), device=batch_index.device) - start + first[receiver]
    other = receiver != sender
    return receiver[other], sender[other]


def torch_geometric_scatter() -> Callable[..., Tensor]:
    """Return PyTorch Geometric's `scatter`, imported on use since that takes seconds."""
    try:
        from torch_geometric.utils import scatter
    except ImportError as e:
        raise UserError(
            "A packed batch of molecules needs PyTorch Geometric. Type: pip install 'polydiff[molecule]'"
        ) from e
    function: Callable[..., Tensor] = scatter
    return function


LISTED = WeakIdKeyDictionary()
"""Cache of the pairs of a space: samplers call a network often on one space, and making the list waits for a GPU."""


def pairs_of(space: Space | Any, r: Tensor | None = None, within: float | None = None) -> Pairs:
    """Return the pairs of the molecules that live in a space: dense if it has `mask`, sparse if it has `batch_index`.

    Arguments:
        space: Space of the molecules.
        r: Their positions, (B, N, 3) or (M, 3), for a cut-off and, if dense, for its precision.
        within: D, the cut-off; None: all pairs.
    """
    if hasattr(space, "mask"):
        return DensePairs(space.mask, r, within)
    if hasattr(space, "batch_index"):
        if within is not None:
            return SparsePairs(space.batch_index, space.batch, r, within)
        if space not in LISTED:
            with torch.inference_mode(False):  # else no gradient could be taken on this space afterwards
                LISTED[space] = SparsePairs(space.batch_index, space.batch)
        kept: SparsePairs = LISTED[space]
        return kept
    raise TypeError(f"{type(space).__name__} has neither `mask` nor `batch_index`: it is no space of molecules.")
