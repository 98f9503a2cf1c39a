"""Tests of `polydiff.domains.molecule.data.library`."""

from __future__ import annotations

import numpy as np
import pytest

from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data.dataset import open_library
from polydiff.domains.molecule.data.library import Library, split
from polydiff.domains.molecule.data.source import enumerated_molecules
from polydiff.support.errors import UserError


@pytest.fixture(scope="module")
def library() -> Library:
    return open_library(MoleculeData(max_heavy=4))


def test_a_molecule_is_in_one_split_with_all_its_geometries(library: Library) -> None:
    parts = split(library, 0.2)
    train, test = (set(parts[name].smiles) for name in ("train", "test"))
    assert not train & test
    assert train | test == set(library.smiles)
    assert 0.1 < len(test) / len(train | test) < 0.3
    assert len(parts["train"]) + len(parts["test"]) == len(library)
    assert len(library) > len(train | test)


def test_added_molecules_do_not_move_others_to_the_other_split(library: Library) -> None:
    small = split(open_library(MoleculeData(max_heavy=3)), 0.2)
    assert set(small["test"].smiles) == set(split(library, 0.2)["test"].smiles) & set(enumerated_molecules(3))


def test_a_part_of_a_library_keeps_its_geometries(library: Library) -> None:
    part = library.take([7, 3])
    assert part.smiles == [library.smiles[7], library.smiles[3]]
    assert np.array_equal(part[1].positions, library[3].positions)
    assert np.array_equal(part[0].numbers, library[7].numbers)
    assert part.column("tpsa").tolist() == library.column("tpsa")[[7, 3]].tolist()


def test_one_molecule_cannot_be_split() -> None:
    library = open_library(MoleculeData(max_heavy=2))
    with pytest.raises(UserError, match="At least two different molecules"):
        split(library.take(np.flatnonzero(np.array(library.smiles) == "CC")), 0.2)
