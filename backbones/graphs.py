r"""All pairs of atoms of each molecule in a batch, in two layouts that give the same sums.

`DensePairs` holds padded pairs (B, N, N); `SparsePairs` holds a list of the E = sum of n (n - 1) real ones, as PyTorch
Geometric does. Pair (i, j) is a message from atom j to atom i, and i = j is left out.

Symbols: B molecules, n atoms in a molecule, N the largest n, M atoms in all, E pairs in all, K numbers an atom or pair.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from polydiff.errors import UserError
from polydiff.space import Space


class Pairs(Protocol):
    """A batch of fully connected graphs."""

    @property
    def sizes(self) -> Tensor:
        """n of each molecule, shape (B,)."""

    def clean(self, x: Tensor) -> Tensor:
        """Return atoms' numbers with 0 on padding."""

    def atoms(self, c: Tensor) -> Tensor:
        """Give each atom its molecule's numbers (B, K)."""

    def mean(self, h: Tensor) -> Tensor:
        """Return the mean over each molecule's atoms, shape (B, K)."""

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        """Return a_i + b_j of each pair."""

    def sum(self, m: Tensor) -> Tensor:
        """Return the sum over j of m_ij for each atom i."""

    def weighted_sum(self, w: Tensor, m: Tensor) -> Tensor:
        """Return the sum over j of w_ij m_ij for each atom i, with w (.., 1) and m (.., K)."""


class DensePairs:
    """Pairs as (B, N, N, K), with a mask.

    Arguments:
        mask: True at atoms, shape (B, N).
    """

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask
        others = ~torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
        self.pair_mask = mask[:, :, None] & mask[:, None, :] & others

    @property
    def sizes(self) -> Tensor:
        return self.mask.sum(1)

    def clean(self, x: Tensor) -> Tensor:
        return torch.where(self.mask[..., None], x, torch.zeros_like(x))

    def atoms(self, c: Tensor) -> Tensor:
        return c[:, None]

    def mean(self, h: Tensor) -> Tensor:
        return self.clean(h).sum(1) / self.sizes.clamp(min=1)[:, None]

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        return a[:, :, None] + b[:, None]

    def sum(self, m: Tensor) -> Tensor:
        return (m * self.pair_mask[..., None]).sum(2)

    def weighted_sum(self, w: Tensor, m: Tensor) -> Tensor:
        masked = w.squeeze(-1) * self.pair_mask  # (B, N, N): a product of matrices spares the weighted (B, N, N, K)
        return (masked[:, :, None] @ m).squeeze(2)


class SparsePairs:
    """Pairs as (E, K), sorted by receiving atom.

    Arguments:
        batch_index: Molecule of each atom, non-decreasing, shape (M,).
        batch: B.
    """

    def __init__(self, batch_index: Tensor, batch: int) -> None:
        self.batch_index = batch_index
        self.sizes = torch.bincount(batch_index, minlength=batch)
        self.receiver, self.sender = all_pairs(batch_index, self.sizes)
        self.scatter = torch_geometric_scatter()

    def clean(self, x: Tensor) -> Tensor:
        return x

    def atoms(self, c: Tensor) -> Tensor:
        return c.index_select(0, self.batch_index)

    def mean(self, h: Tensor) -> Tensor:
        total = self.scatter(h, self.batch_index, dim=0, dim_size=len(self.sizes), reduce="sum")
        return total / self.sizes.clamp(min=1)[:, None]

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        return a.index_select(0, self.receiver) + b.index_select(0, self.sender)

    def sum(self, m: Tensor) -> Tensor:
        return self.scatter(m, self.receiver, dim=0, dim_size=len(self.batch_index), reduce="sum")

    def weighted_sum(self, w: Tensor, m: Tensor) -> Tensor:
        return self.sum(w * m)


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
"""Pairs of the spaces in use: samplers call a network often on one space, and listing its pairs waits for a GPU."""


def pairs_of(space: Space | Any) -> Pairs:
    """Return the pairs of the molecules that live in a space: dense where it has `mask`, sparse where `batch_index`."""
    if hasattr(space, "mask"):
        return DensePairs(space.mask)
    if hasattr(space, "batch_index"):
        if space not in LISTED:
            LISTED[space] = SparsePairs(space.batch_index, space.batch)
        kept: SparsePairs = LISTED[space]
        return kept
    raise TypeError(f"{type(space).__name__} has neither `mask` nor `batch_index`: an EGNN needs a space of molecules.")
