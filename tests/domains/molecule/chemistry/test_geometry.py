"""Tests of `polydiff.domains.molecule.chemistry.geometry`."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem

from polydiff.domains.molecule.chemistry.geometry import APART, Rejected, apart, embedded
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data.library import Library
from polydiff.domains.molecule.data.source import open_library, universe


@pytest.fixture(scope="module")
def library() -> Library:
    return open_library(MoleculeData(max_heavy=4))


def test_every_molecule_has_a_geometry_but_hydrogen_fluoride(library: Library) -> None:
    assert set(library.smiles) == set(universe(4)) - {"F"}
    assert dict(library.rejected) == {"MMFF94s has no parameters for it": 1}


def test_geometries_hold_the_atoms_of_their_molecule(library: Library) -> None:
    for i, smiles in enumerate(library.smiles):
        mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
        assert sorted(library[i].numbers) == sorted(atom.GetAtomicNum() for atom in mol.GetAtoms())
        assert library[i].positions.shape == (mol.GetNumAtoms(), 3)


def test_water_has_its_shape(library: Library) -> None:
    water = library[list(library.smiles).index("O")]
    oxygen, *hydrogens = (water.positions[water.numbers == z] for z in (8, 1))
    bonds = hydrogens[0] - oxygen
    lengths = np.linalg.norm(bonds, axis=1)
    angle = np.degrees(np.arccos(bonds[0] @ bonds[1] / lengths.prod()))
    assert lengths == pytest.approx([0.969, 0.969], abs=0.01)
    assert angle == pytest.approx(104, abs=2)


def test_conformers_are_lowest_first_distinct_and_repeatable() -> None:
    mol, again = embedded("CCCC", 3), embedded("CCCC", 3)
    places = [conformer.GetPositions() for conformer in mol.GetConformers()]
    assert len(places) == 3
    assert all(apart(mol, i, j) for i in range(3) for j in range(i))
    assert all(np.array_equal(a, c.GetPositions()) for a, c in zip(places, again.GetConformers(), strict=True))
    assert embedded("CCCC", 1).GetNumConformers() == 1


def test_a_conformer_is_not_apart_from_itself_with_equivalent_atoms_exchanged() -> None:
    mol = embedded("CC", 1)
    order = list(range(mol.GetNumAtoms()))
    order[2:5] = order[3:5] + order[2:3]  # the hydrogens of a methyl group
    turned = Chem.Mol(mol)
    turned.GetConformer().SetPositions(mol.GetConformer().GetPositions()[order])
    assert APART > 0
    mol.AddConformer(turned.GetConformer(), assignId=True)
    assert not apart(mol, 0, 1)


@pytest.mark.parametrize(("smiles", "reason"), [("F", "MMFF94s"), ("C(", "SMILES")])
def test_what_has_no_geometry_says_why(smiles: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        embedded(smiles, 1)
