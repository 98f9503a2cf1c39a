r"""Kekule forms: all ways to place the double bonds of aromatic rings.

The atoms of a ring system that have a double bond within it are the same in each form, because an atom's other bonds
fix how much it has left. So the forms are the perfect matchings of these atoms along aromatic bonds: 2 of benzene, 3 of
naphthalene, 1 of pyrrole. Ring systems that share no aromatic bond choose independently.

A network that learned one form for each molecule would learn the order of the atoms that decided it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice

import numpy as np
import torch

MOST = 1000
"""Largest number of forms of a ring system that are found; fullerenes have more."""

Pair = tuple[int, int]


def drawn(table: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """Return a table of bonds (`bonds.bond_table`) in a Kekule form drawn uniformly, by one number a ring system.

    Arguments:
        table: Bonds, (E, 4).
        generator: Random stream; not used if there is nothing to choose.
    """
    choices = forms(table.tobytes())
    if not choices:
        return table
    found = table.copy()
    found[found[:, 3] == 1, 2] = 1
    place = {(int(i), int(j)): row for row, (i, j, *_) in enumerate(table.tolist())}
    for system in choices:
        chosen = int(torch.randint(len(system), (), generator=generator)) if len(system) > 1 else 0
        found[[place[pair] for pair in system[chosen]], 2] = 2
    return found


@lru_cache(maxsize=2**16)
def forms(table: bytes) -> list[list[list[Pair]]]:
    """Return the double bonds of each Kekule form of each ring system, from the bytes of a table of bonds."""
    rows = np.frombuffer(table, np.uint16).reshape(-1, 4).tolist()
    aromatic = [(i, j) for i, j, _, flag in rows if flag]
    matched = {atom for i, j, order, flag in rows if flag and order == 2 for atom in (i, j)}
    pairs = [(i, j) for i, j in aromatic if i in matched and j in matched]
    return [list(islice(matchings(atoms, pairs), MOST)) for atoms in systems(matched, pairs)]


def systems(atoms: set[int], pairs: Sequence[Pair]) -> list[list[int]]:
    """Return the connected parts of a graph, each as its atoms in increasing order."""
    left, found = set(atoms), []
    while left:
        part, ahead = set[int](), {min(left)}
        while ahead:
            part |= ahead
            ahead = {b for i, j in pairs for a, b in ((i, j), (j, i)) if a in ahead} - part
        left -= part
        found.append(sorted(part))
    return found


def matchings(atoms: Sequence[int], pairs: Sequence[Pair]) -> Iterator[list[Pair]]:
    """Yield the perfect matchings of atoms along pairs i < j."""
    if not atoms:
        yield []
        return
    first, *rest = atoms
    for other in rest:
        pair = (min(first, other), max(first, other))
        if pair in pairs:
            for matching in matchings([atom for atom in rest if atom != other], pairs):
                yield [pair, *matching]
