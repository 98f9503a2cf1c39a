"""The enumeration of small molecules: counts by hand, required and forbidden molecules, and the shipped list."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate

import pytest
from rdkit import Chem
from repository import ROOT

from polydiff.domains.molecule.chemistry.enumerate import (
    FORBIDDEN_PAIRS,
    acceptable,
    graphs,
    molecules,
    strained,
    with_added_bond,
)
from polydiff.domains.molecule.data.source import enumerated_molecules

COUNTS = {1: 4, 2: 8, 3: 18, 4: 74, 5: 317, 6: 1699, 7: 9642}


def test_three_heavy_atoms_by_hand() -> None:
    by_hand = """
        CCC C=CC C#CC C1CC1  CCN CNC C1CN1 CC#N N=CN NC=O  CCO COC C1CO1 CC=O O=CO  CCF C=CF FCF
    """
    expected = {Chem.CanonSmiles(smiles) for smiles in by_hand.split()}
    assert {smiles for smiles, heavy in molecules(3) if heavy == 3} == expected


def test_two_heavy_atoms_before_the_chemistry() -> None:
    by_hand = "CC C=C C#C CN C=N C#N CO C=O CF NN N=N N#N NO N=O"
    assert graphs(2) == {Chem.CanonSmiles(smiles) for smiles in by_hand.split()}


def test_counts_of_the_shipped_list() -> None:
    mols = [Chem.MolFromSmiles(smiles) for smiles in enumerated_molecules(7)]
    assert Counter(mol.GetNumHeavyAtoms() for mol in mols) == COUNTS
    assert all(Chem.MolToSmiles(mol) == smiles for mol, smiles in zip(mols, enumerated_molecules(7), strict=True))
    assert len(set(enumerated_molecules(7))) == sum(COUNTS.values())
    assert all(map(acceptable, mols))


def test_the_docs_state_the_counts() -> None:
    page = (ROOT / "docs" / "molecule.md").read_text(encoding="utf-8")
    assert f"{', '.join(f'{total:,}' for total in accumulate(COUNTS.values()))} for 1 to 7" in page


def test_the_enumeration_gives_the_shipped_list() -> None:
    assert [smiles for smiles, _ in molecules(5)] == enumerated_molecules(5)


@pytest.mark.slow
def test_the_shipped_list_to_six_heavy_atoms() -> None:
    assert [smiles for smiles, _ in molecules(6)] == enumerated_molecules(6)


def test_known_molecules_are_in_the_list() -> None:
    names = {
        "benzene": "c1ccccc1", "pyrrole": "c1cc[nH]c1", "furan": "c1ccoc1", "imidazole": "c1c[nH]cn1",
        "pyridine": "c1ccncc1", "phenol": "Oc1ccccc1", "acetic acid": "CC(=O)O", "glycine": "NCC(=O)O",
        "urea": "NC(N)=O", "acetone": "CC(C)=O", "ether": "CCOCC", "methanol": "CO", "hexane": "CCCCCC",
        "tetrazole": "c1nnn[nH]1", "norbornane": "C1CC2CCC1C2", "trifluoroacetic acid": "O=C(O)C(F)(F)F",
    }  # fmt: skip
    assert {Chem.CanonSmiles(smiles) for smiles in names.values()} <= set(enumerated_molecules(7))


@pytest.mark.parametrize(
    "smiles",
    ["OO", "NN", "C=CO", "OCO", "NCN", "C=C=C", "O=C=O", "CC(=O)F", "C1=CC1", "C1=CCC1", "C=N", "OC(=O)O", "FCO"],
)
def test_unstable_molecules_are_not_acceptable(smiles: str) -> None:
    assert not acceptable(Chem.MolFromSmiles(smiles))


@pytest.mark.parametrize("smiles", ["C1#CC1", "C1#CCCC1", "C1=CC=C1", "C1C2CC12", "C1=C=CCCC1", "C1CC2=CC1CC2"])
def test_strain_is_detected(smiles: str) -> None:
    assert strained(Chem.MolFromSmiles(smiles))


@pytest.mark.parametrize("smiles", ["c1ccccc1", "C1CC2CCC1C2", "C1=CCCC1", "C1CCC2CC2C1", "CC#C", "C1=CC2CCC1C2"])
def test_unstrained_rings_pass(smiles: str) -> None:
    assert not strained(Chem.MolFromSmiles(smiles))


def test_an_added_bond_raises_one_order_and_keeps_the_atoms() -> None:
    for smiles in graphs(4):
        mol = Chem.MolFromSmiles(smiles)
        for more in with_added_bond(mol):
            assert electrons(more) == electrons(mol) + 1
            assert Counter(a.GetSymbol() for a in more.GetAtoms()) == Counter(a.GetSymbol() for a in mol.GetAtoms())
            assert not any({b.GetBeginAtom().GetSymbol(), b.GetEndAtom().GetSymbol()} in FORBIDDEN_PAIRS
                           for b in more.GetBonds())  # fmt: skip


def electrons(mol: Chem.Mol) -> int:
    """Return the sum of the bond orders between heavy atoms."""
    copy = Chem.Mol(mol)
    Chem.Kekulize(copy, clearAromaticFlags=True)
    return int(sum(bond.GetBondTypeAsDouble() for bond in copy.GetBonds()))
