"""Masks of known atoms as masks of the parts of molecules with bonds.

Symbols: B molecules, N the largest number of atoms.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from polydiff.domains.molecule.config import ATOMS, BONDS, POSITIONS


def part_masks(known: Tensor, space: Any) -> dict[str, Tensor]:
    """Return which values of each part are known, name of a part -> booleans that broadcast against it.

    A bond, or that there is none, is known if both of its atoms are.

    Arguments:
        known: Known atoms, booleans that broadcast against (B, N, 1).
        space: `Product` of the spaces of the parts.
    """
    mask = space.parts[BONDS].mask
    atoms = known.bool().to(mask.device).expand(*mask.shape, 1)[..., 0]
    found = {POSITIONS: atoms[..., None], ATOMS: atoms, BONDS: atoms[:, :, None] & atoms[:, None]}
    return {name: found[name] for name in space.parts}


def grown_masks(known: Tensor, before: Any, larger: Any, named: bool) -> dict[str, Tensor]:
    """Return the masks of molecules with added atoms, which follow the given ones and whose bonds are unknown.

    Arguments:
        known: Known atoms of the molecules without added ones, booleans that broadcast against (B, N, 1).
        before: `Product` of the spaces of these molecules' parts.
        larger: That of the molecules with added atoms.
        named: Whether the letters of added atoms are known.
    """
    mask, given = larger.parts[BONDS].mask, before.parts[BONDS].mask
    found = torch.zeros_like(mask)
    found[:, : given.shape[1]] = known.bool().to(mask.device).expand(*given.shape, 1)[..., 0] & given
    masks = part_masks(found[..., None], larger)
    if named and ATOMS in masks:
        added = torch.arange(mask.shape[1], device=mask.device) >= before.parts[BONDS].mask.sum(1)[:, None]
        masks[ATOMS] = masks[ATOMS] | (added & mask)
    return masks
