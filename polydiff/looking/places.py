"""Numbers of the places of examples: pixels, times, letters, atoms."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from polydiff.core.space import Points, Space
from polydiff.support.protocols import provides


def at_places(x: Tensor, space: Space) -> Tensor:
    """Return numbers of the elements of states (R, ...), summed over each place, (B, *sizes).

    Those of a plane (B, C, *sizes) are summed over channels, those of letters (B, L) stay. Those of atoms are summed
    over coordinates and features, and padded with 0 to the largest number of atoms, (B, N).
    """
    if not provides(space, Points):
        return x.sum(1) if x.ndim > 2 else x
    rows = x.sum(-1)
    if rows.ndim > 1:
        return rows
    sample = space.expand(torch.arange(space.batch, device=x.device)).flatten()
    return pad_sequence([rows[sample == b] for b in range(space.batch)], batch_first=True)
