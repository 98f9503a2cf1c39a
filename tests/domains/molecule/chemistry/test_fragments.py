"""Random known parts of molecules."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem

from polydiff.core.streams import streams
from polydiff.domains.molecule.chemistry.bonds import molecule_of
from polydiff.domains.molecule.chemistry.fragments import draw_known, grown, neighbours
from polydiff.domains.molecule.chemistry.geometry import Molecule, embed

PHENOL = molecule_of(embed("Oc1ccccc1", 1))


def pieces(inside: np.ndarray, adjacent: list[list[int]]) -> int:
    left, found = set(np.flatnonzero(inside).tolist()), 0
    while left:
        found, ahead = found + 1, [left.pop()]
        while ahead:
            near = left & set(adjacent[ahead.pop()])
            left -= near
            ahead += near
    return found


def test_a_connected_fragment_is_known_or_unknown_and_something_is_left_to_make() -> None:
    n, adjacent = 1000, neighbours(PHENOL)
    drawn = [draw_known(PHENOL, generator) for generator in streams(0, "x", range(n))]
    heavy = PHENOL.numbers > 1
    atoms = np.array([one.atoms for one in drawn])
    assert not atoms.all(1).any()
    assert atoms.sum(1).max() == len(heavy) - 1
    assert np.mean(~atoms.any(1)) == pytest.approx(0.1, abs=0.03)
    assert np.mean([one.named for one in drawn]) == pytest.approx(0.9 * 0.2, abs=0.04)
    bare = ~(atoms & ~heavy).any(1) & atoms.any(1)
    assert 0.42 < bare[atoms.any(1)].mean() < 0.6  # small fragments may have none by chance
    for one in atoms[atoms.any(1) & ~bare]:
        assert 1 in (pieces(one, adjacent), pieces(~one, adjacent))
    joined = [pieces(one, adjacent) > 1 for one in atoms]
    assert 0.1 < np.mean(joined) < 0.6  # pieces that a linker joins
    again = draw_known(PHENOL, streams(0, "x", [7])[0])
    assert (again.atoms == atoms[7]).all()


def test_atoms_without_bonds_are_neighbours_by_distance() -> None:
    assert neighbours(Molecule(PHENOL.numbers, PHENOL.positions)) == neighbours(PHENOL)


def test_one_atom_has_no_known_part_and_pieces_are_not_left() -> None:
    water = molecule_of(Chem.MolFromSmiles("O"), implicit=True)
    assert not draw_known(water, streams(0, "x", [0])[0]).atoms.any()
    assert sorted(grown([[1], [0], []], 3, iter([0.0, 0.5, 0.5]))) == [0, 1]
