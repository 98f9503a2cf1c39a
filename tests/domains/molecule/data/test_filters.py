"""Tests of `polydiff.domains.molecule.data.filters`."""

from __future__ import annotations

import numpy as np
import pytest
from molecule_cases import molecule
from rdkit import Chem

from polydiff.domains.molecule.chemistry.geometry import Rejected, embed
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data.dataset import open_library
from polydiff.domains.molecule.data.filters import check_bond_lengths, check_one_piece, check_positions


def test_geometries_of_all_small_molecules_and_of_long_bonds_pass() -> None:
    library = open_library(MoleculeData(max_heavy=4))
    for i in range(len(library)):
        check_one_piece(*library[i])
        check_positions(library[i].positions)
    for smiles in ("CC(C)(C)C(C)(C)C(C)(C)C", "II", "CS(=O)(=O)Cl", "BrC(Br)(Br)Br", "C[Si](C)(C)[Si](C)(C)C", "CSSC"):
        check_bond_lengths(embed(smiles, 1))
        check_one_piece(*molecule(smiles))


@pytest.mark.parametrize("distance", [2.5, 4.0, 50.0, 9999.0])
@pytest.mark.parametrize("atom", [0, 2, 5])
def test_an_atom_far_from_its_bond_partner_is_rejected(distance: float, atom: int) -> None:
    mol = embed("CCO", 1)
    r = mol.GetConformer().GetPositions()
    away = r[atom] - r.mean(0)
    r[atom] += distance * away / np.linalg.norm(away)
    mol.GetConformer().SetPositions(r)
    with pytest.raises(Rejected, match=r"longer than 1\.5 times the sum of the covalent radii"):
        check_bond_lengths(mol)
    with pytest.raises(Rejected, match="several pieces"):
        check_one_piece(np.array([a.GetAtomicNum() for a in mol.GetAtoms()], np.uint8), r)


def test_positions_in_bohr_and_in_nm_are_rejected() -> None:
    numbers, r = molecule("CCO")
    check_positions(r)
    with pytest.raises(Rejected, match="if its positions are in Å"):
        check_one_piece(numbers, r / 0.529177)
    with pytest.raises(Rejected, match="too near to each other, if its positions are in Å"):
        check_positions(r * 0.1)


def test_one_atom_is_one_piece() -> None:
    check_one_piece(np.array([10], np.uint8), np.zeros((1, 3)))
    check_bond_lengths(Chem.AddHs(embed("C", 1)))
