"""Numbers of atoms of molecules: their probability under the training data, and their limit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from polydiff.support.errors import UserError

ATOMS = "atoms"
"""Name with which a user requests a number of atoms, hydrogens included."""
MAX_SIZE_RATIO = 4
"""Largest size that a user can request, as a multiple of the largest training size: memory grows with the square."""


def size_nats(sizes: Tensor, counts: Sequence[Sequence[int]]) -> Tensor:
    """Return -log p(n) in nats, float64 (B,), under the smoothed histogram of training sizes.

    p(n) = (count(n) + 1/L) / (total + 1), where L is 4 times the largest training size. One pseudo-count is spread over
    the sizes 1 to L, which are those that can be requested. A size n <= L that does not occur in training costs
    log(L (total + 1)) nats. A size above L costs infinitely many.

    Arguments:
        sizes: n, whole numbers (B,).
        counts: [n, count] of each training size.
    """
    known = torch.tensor(counts, dtype=torch.float64)
    last = MAX_SIZE_RATIO * int(known[:, 0].max())
    p = torch.full((last + 1,), 1 / last, dtype=torch.float64)
    p[0] = 0
    p[known[:, 0].long()] += known[:, 1]
    nats = torch.cat([-(p / (known[:, 1].sum() + 1)).log(), torch.tensor([torch.inf])])
    return nats.to(sizes.device)[sizes.clamp(max=last + 1)]


def check_atoms(atoms: float, largest: int) -> None:
    """Raise UserError if a number of atoms is more than `MAX_SIZE_RATIO` times the largest training size."""
    if atoms > MAX_SIZE_RATIO * largest:
        raise UserError(
            f"{ATOMS}={atoms:g}: the largest molecule in training has {largest}. The limit is {MAX_SIZE_RATIO} times "
            f"as many, {MAX_SIZE_RATIO * largest}."
        )
