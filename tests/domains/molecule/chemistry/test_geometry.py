"""Tests of `polydiff.domains.molecule.chemistry.geometry`."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from rdkit import Chem

from polydiff.domains.molecule.chemistry.geometry import Molecule, Rejected, differ, embed
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data.dataset import open_library
from polydiff.domains.molecule.data.library import Library
from polydiff.domains.molecule.data.source import enumerated_molecules


@pytest.fixture(scope="module")
def library() -> Library:
    return open_library(MoleculeData(max_heavy=4))


def test_every_molecule_has_a_geometry_but_hydrogen_fluoride(library: Library) -> None:
    assert set(library.smiles) == set(enumerated_molecules(4)) - {"F"}
    assert dict(library.rejected) == {"MMFF94s has no parameters for it": 1}


def test_geometries_have_the_atoms_of_their_molecule(library: Library) -> None:
    for i, smiles in enumerate(library.smiles):
        mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
        assert sorted(library[i].numbers) == sorted(atom.GetAtomicNum() for atom in mol.GetAtoms())
        assert library[i].positions.shape == (mol.GetNumAtoms(), 3)


def test_water_has_its_known_geometry(library: Library) -> None:
    water = library[list(library.smiles).index("O")]
    oxygen, *hydrogens = (water.positions[water.numbers == z] for z in (8, 1))
    bonds = hydrogens[0] - oxygen
    lengths = np.linalg.norm(bonds, axis=1)
    angle = np.degrees(np.arccos(bonds[0] @ bonds[1] / lengths.prod()))
    assert lengths == pytest.approx([0.969, 0.969], abs=0.01)
    assert angle == pytest.approx(104, abs=2)


def test_conformers_are_lowest_first_distinct_and_repeatable() -> None:
    mol, again = embed("CCCC", 3), embed("CCCC", 3)
    places = [conformer.GetPositions() for conformer in mol.GetConformers()]
    assert len(places) == 3
    assert all(differ(mol, i, j) for i in range(3) for j in range(i))
    assert all(np.array_equal(a, c.GetPositions()) for a, c in zip(places, again.GetConformers(), strict=True))
    assert embed("CCCC", 1).GetNumConformers() == 1


def test_exchanged_equivalent_atoms_do_not_make_conformers_differ() -> None:
    mol = embed("CC", 1)
    order = list(range(mol.GetNumAtoms()))
    order[2:5] = order[3:5] + order[2:3]  # the hydrogens of a methyl group
    turned = Chem.Mol(mol)
    turned.GetConformer().SetPositions(mol.GetConformer().GetPositions()[order])
    mol.AddConformer(turned.GetConformer(), assignId=True)
    assert not differ(mol, 0, 1)


@pytest.mark.parametrize(("smiles", "reason"), [("F", "MMFF94s"), ("C(", "SMILES")])
def test_a_molecule_without_geometry_is_rejected_with_a_reason(smiles: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        embed(smiles, 1)


def test_a_molecule_is_a_pair_of_elements_and_positions_also_with_bonds() -> None:
    bonds = np.array([[0, 3], [3, 0]])
    one = Molecule(np.array([7, 7]), np.zeros((2, 3)), np.zeros(2), bonds)
    numbers, positions = one
    assert numbers is one.numbers
    assert positions is one.positions
    again = pickle.loads(pickle.dumps(one))
    assert np.array_equal(again.bonds, bonds)
    assert np.array_equal(again.charges, one.charges)
