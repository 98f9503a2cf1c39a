"""Pairs of atoms within a cut-off, found by cells of its width, without all pairs of a large molecule."""

from __future__ import annotations

import torch
from torch import Tensor


def near_pairs(r: Tensor, batch_index: Tensor, within: float) -> tuple[Tensor, Tensor]:
    """Return receivers i and senders j, each (E,), of all pairs i != j of a molecule nearer than `within`.

    They are sorted by i, then j. Space is divided into cubes with sides of the cut-off, so the neighbours of an atom
    lie in its own cube and the 26 around it. Time and memory grow with the number of atoms times the number of atoms in
    these 27 cubes.

    Arguments:
        r: Positions, (M, 3), finite.
        batch_index: Molecule of each atom, (M,).
        within: The cut-off, in units of r.
    """
    cell = (r / within).floor().long()
    cell = cell - cell.amin(0) + 1 if len(cell) else cell  # from 1 on, so that cubes around them start at 0
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
    near &= (receiver != sender) & (batch_index[receiver] == batch_index[sender])  # keys of huge positions may coincide
    receiver, sender = receiver[near], sender[near]
    place = (receiver * len(r) + sender).argsort()
    return receiver[place], sender[place]
