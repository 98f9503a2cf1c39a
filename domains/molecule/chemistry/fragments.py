"""Random known parts of molecules, as training with task=inpaint draws them.

Of ten examples, one has no known part. Of the others, half keep a connected fragment of any size, such as a group that
is to be extended; half generate one, so that what is kept may be in several pieces, such as those that a linker joins.
Users often keep heavy atoms alone, as SMARTS patterns select them, so half of the known parts have no hydrogens.
Sometimes the elements of the other atoms are known as well, as with added atoms of a given formula.

Symbols: N atoms of a molecule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from rdkit import Chem

from polydiff.domains.molecule.chemistry.geometry import Molecule

NOTHING, KEPT, BARE, NAMED = 0.1, 0.5, 0.5, 0.2
"""Shares of molecules without a known part; of the others, of those of which a connected fragment is known, the rest
having one that is unknown; of known parts without hydrogens; and of molecules whose elements are all known."""
STRETCH = 1.3
"""Factor by which the distance of bonded atoms may exceed the sum of their covalent radii, where bonds are unknown."""


class KnownAtoms(NamedTuple):
    """What is known of a molecule.

    Attributes:
        atoms: Whose place, element and bonds among each other are known, booleans (N,).
        named: Whether the elements of the other atoms are known as well.
    """

    atoms: np.ndarray
    named: bool


def draw_known(molecule: Molecule, generator: torch.Generator) -> KnownAtoms:
    """Return a random known part of a molecule, which is never the whole one."""
    n = len(molecule.numbers)
    lot, kept, bare, named, size, *drawn = torch.rand(5 + n, generator=generator, dtype=torch.float64).tolist()
    if lot < NOTHING or n == 1:
        return KnownAtoms(np.zeros(n, bool), False)
    inside = np.zeros(n, bool)
    inside[grown(neighbours(molecule), 1 + int(size * (n - 1)), iter(drawn))] = True
    known = inside if kept < KEPT else ~inside
    heavy = known & (molecule.numbers > 1)
    return KnownAtoms(heavy if bare < BARE and heavy.any() else known, named < NAMED)


def grown(adjacent: Sequence[Sequence[int]], size: int, drawn: Iterator[float]) -> list[int]:
    """Return the numbers of `size` atoms that bonds join, fewer if their piece of the molecule has fewer.

    Arguments:
        adjacent: Neighbours of each atom.
        size: Number of atoms.
        drawn: Uniform numbers in [0, 1), one for each atom.
    """
    found, ahead = [int(next(drawn) * len(adjacent))], list[int]()
    while len(found) < size:
        ahead = [atom for atom in dict.fromkeys([*ahead, *adjacent[found[-1]]]) if atom not in found]
        if not ahead:
            break
        found.append(ahead[int(next(drawn) * len(ahead))])
    return found


def neighbours(molecule: Molecule) -> list[list[int]]:
    """Return the neighbours of each atom: by its bonds, or by distance if these are unknown."""
    bonds = molecule.bonds
    if bonds is None:
        table = Chem.GetPeriodicTable()
        radii = np.array([table.GetRcovalent(number) for number in molecule.numbers.tolist()])
        distance = np.linalg.norm(molecule.positions[:, None] - molecule.positions[None], axis=-1)
        bonds = distance < STRETCH * (radii[:, None] + radii)
    joined = (bonds > 0) & ~np.eye(len(bonds), dtype=bool)
    return [np.flatnonzero(row).tolist() for row in joined]
