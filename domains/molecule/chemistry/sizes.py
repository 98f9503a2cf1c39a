"""How many atoms molecules have: a histogram of training, and what it says of sizes that training lacks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from polydiff.support.errors import UserError

ATOMS = "atoms"
"""The word with which a user asks for a number of atoms, hydrogens included."""
FARTHEST = 4
"""Times the largest molecule of training that can be asked for: pairs of atoms take memory by its square."""


def size_nats(sizes: Tensor, counts: Sequence[Sequence[int]]) -> Tensor:
    """Return -log p(n) in nats, float64: the share of n in training, where one more molecule has any size.

    p(n) = (count(n) + 1/L) / (total + 1), L = 4 times the largest of training, all sizes that can be asked for. So a
    size that training lacks costs log(L (total + 1)) nats, one above L infinitely many.

    Arguments:
        sizes: n, whole numbers.
        counts: [n, count] of each size of training.
    """
    known = torch.tensor(counts, dtype=torch.float64)
    last = FARTHEST * int(known[:, 0].max())
    p = torch.full((last + 1,), 1 / last, dtype=torch.float64)
    p[0] = 0
    p[known[:, 0].long()] += known[:, 1]
    nats = torch.cat([-(p / (known[:, 1].sum() + 1)).log(), torch.tensor([torch.inf])])
    return nats.to(sizes.device)[sizes.clamp(max=last + 1)]


def check_atoms(atoms: float, largest: int) -> None:
    """Refuse a number of atoms far from all that training saw."""
    if atoms > FARTHEST * largest:
        raise UserError(
            f"{ATOMS}={atoms:g}: the largest molecule in training has {largest}; ask for {FARTHEST} times at most."
        )
