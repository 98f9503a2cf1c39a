"""Which atoms are near each other: by cells as wide as the cut-off, so never all pairs of a large molecule at once."""

from __future__ import annotations

import torch
from torch import Tensor


def near_pairs(r: Tensor, batch_index: Tensor, within: float) -> tuple[Tensor, Tensor]:
    """Return receivers i and senders j, each (E,), of all pairs i != j of a molecule nearer than this, sorted by i.

    Space is cut into cubes with sides of the cut-off, so neighbours of an atom lie in its own cube and the 26 around
    it. Time and memory grow with the number of atoms times that of those cubes' atoms.

    Arguments:
        r: Positions, (M, 3), finite.
        batch_index: Molecule of each atom, (M,).
        within: The cut-off, as the distance of pairs that count for nothing.
    """
    cell = (r / within).floor().long()
    cell = cell - cell.amin(0) + 1 if len(cell) else cell  # from 1 on, so that cubes around are numbered from 0
    sides = cell.amax(0) + 2 if len(cell) else cell.new_ones(3)
    step = torch.stack([sides[1] * sides[2], sides[2], sides.new_ones(())])
    key = batch_index * sides.prod() + (cell * step).sum(1)
    ordered, order = key.sort(stable=True)
    around = torch.cartesian_prod(*3 * [torch.arange(-1, 2, device=r.device)])
    wanted = key[:, None] + (around * step).sum(1)  # (M, 27)
    first = torch.searchsorted(ordered, wanted)
    count = torch.searchsorted(ordered, wanted, right=True) - first
    atoms = torch.arange(len(r), device=r.device)
    receiver = atoms.repeat_interleave(count.sum(1))
    flat = count.flatten()
    start = (flat.cumsum(0) - flat - first.flatten()).repeat_interleave(flat)
    sender = order[torch.arange(len(receiver), device=r.device) - start]
    near = (r[receiver] - r[sender]).square().sum(1) < within**2
    near &= (receiver != sender) & (batch_index[receiver] == batch_index[sender])  # keys of wild positions may coincide
    receiver, sender = receiver[near], sender[near]
    place = (receiver * len(r) + sender).argsort()
    return receiver[place], sender[place]
