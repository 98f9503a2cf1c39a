"""Tests of `polydiff.domains.molecule.chemistry.identity`."""

from __future__ import annotations

import random

import pytest
from rdkit import Chem
from rdkit.rdBase import BlockLogs

from polydiff.domains.molecule.chemistry.identity import graph_smiles, molecule_key
from polydiff.domains.molecule.data.source import enumerated_molecules, nci_file

SAME = (
    ("[H]/N=C/C", "[H]/N=C\\C", "[H]N=CC", "CC=N", "C(=N)C", "[2H]N=CC", "[2H]/N=C/C", "N=[13CH]C"),
    ("[H]/N=N/C", "[H]/N=N\\C", "CN=N", "[H]N=NC"),
    ("N=N", "[H]/N=N/[H]", "[H]/N=N\\[H]", "[H]N=N[H]", "[H]/N=N/[2H]"),
    ("NC=N", "[H]/N=C/N", "[H]/N=C\\N"),
    ("C", "[H]C([H])([H])[H]", "[2H]C", "[14CH4]", "[CH4:3]"),
    ("[H][H]", "[2H][H]", "[3H][3H]"),
    ("CS(C)=O", "C[S+](C)[O-]", "O=S(C)C"),
    ("S=C=S", "[S-]C#[S+]", "[S-][C+]=S"),
    ("O=S=O", "O=[S+][O-]", "[O-][S+2][O-]"),
    ("CN(=O)=O", "C[N+](=O)[O-]", "[O-][N+](C)=O"),
    ("C[N+]#[C-]", "[C-]#[N+]C"),
    ("CN=[N+]=[N-]", "C[N-][N+]#N", "CN=N#N"),
    ("C=[N+]=[N-]", "[CH2-][N+]#N"),
    ("[C-]#[O+]", "[O+]#[C-]"),
    ("c1ccccc1O", "C1=CC=CC=C1O", "C1C=CC=CC=1O", "Oc1c([H])c([H])c([H])c([H])c1[H]"),
    ("Cc1ccccc1C", "CC1=C(C)C=CC=C1", "CC1=CC=CC=C1C"),
    ("c1cc[nH]c1", "C1=CNC=C1", "[H]n1cccc1"),
    ("c1cc[n+]([O-])cc1", "O=n1ccccc1", "[O-][N+]1=CC=CC=C1"),
    ("CP(C)(C)=O", "C[P+](C)(C)[O-]"),
    ("CS(=O)(=O)C", "C[S+2]([O-])([O-])C", "C[S+](=O)([O-])C"),
    ("CNC=O", "C[NH+]=C[O-]"),
    ("O=C1C=CC(=O)C=C1", "C1=CC(=O)C=CC1=O"),
    ("F/C=C/F", "F/C=C\\F", "FC=CF"),
    ("N[C@@H](C)C(=O)O", "N[C@H](C)C(=O)O", "CC(N)C(=O)O"),
    ("C[C@H](O)[2H]", "CCO"),
)
"""Notations of one molecule, in each line."""
DIFFERENT = (
    ("CC=O", "C=CO"),
    ("CC(O)=N", "CC(N)=O"),
    ("Oc1ccccn1", "O=c1cccc[nH]1"),
    ("NCC(=O)O", "[NH3+]CC(=O)[O-]"),
    ("c1nc[nH]n1", "c1cn[nH]n1"),
    ("Cc1c[nH]cn1", "Cc1cnc[nH]1"),
    ("CC#N", "C[N+]#[C-]"),
    ("CCC", "CC"),
    ("C1CC1", "CC=C"),
)
"""Tautomers and isomers."""


def parsed(smiles: str) -> Chem.Mol:
    options = Chem.SmilesParserParams()
    options.removeHs = False
    mol = Chem.MolFromSmiles(smiles, options)
    if mol is None:  # an old notation, with more bonds than a valence allows
        mol = Chem.MolFromSmiles(smiles, sanitize=False)
        mol.UpdatePropertyCache(strict=False)
    return mol


@pytest.mark.parametrize("notations", SAME, ids=[group[0] for group in SAME])
def test_all_notations_of_a_molecule_have_one_key(notations: tuple[str, ...]) -> None:
    with BlockLogs():
        keys = {molecule_key(form(parsed(one))) for one in notations for form in (Chem.Mol, Chem.AddHs)}
    assert len(keys) == 1


@pytest.mark.parametrize("pair", DIFFERENT)
def test_tautomers_and_isomers_have_different_keys(pair: tuple[str, str]) -> None:
    first, second = map(molecule_key, map(parsed, pair))
    assert first != second


def test_the_key_does_not_depend_on_the_order_of_atoms_or_on_how_a_molecule_is_written() -> None:
    rng = random.Random(0)
    smiles = [line.split()[0] for line in nci_file().read_text().splitlines() if line.strip()]
    for text in rng.sample(smiles, 400):
        with BlockLogs():
            mol = Chem.MolFromSmiles(text)
        if mol is None:
            continue
        key = molecule_key(mol)
        for _ in range(3):
            other = Chem.AddHs(mol) if rng.random() < 0.5 else Chem.Mol(mol)
            order = list(range(other.GetNumAtoms()))
            rng.shuffle(order)
            other = Chem.RenumberAtoms(other, order)
            if rng.random() < 0.5:
                Chem.Kekulize(other, clearAromaticFlags=True)
            rng.choice(list(other.GetAtoms())).SetIsotope(rng.choice([0, 2, 13]))
            rng.choice(list(other.GetAtoms())).SetAtomMapNum(rng.choice([0, 7]))
            assert molecule_key(other) == key, text
            again = Chem.MolFromSmiles(Chem.MolToSmiles(mol, doRandom=True, allHsExplicit=rng.random() < 0.5))
            assert molecule_key(again) == key, text


def test_the_key_of_an_enumerated_molecule_is_its_smiles() -> None:
    smiles = enumerated_molecules(6)
    assert [molecule_key(Chem.MolFromSmiles(one)) for one in smiles] == smiles


def test_hydrogens_that_define_stereochemistry_are_removed_from_smiles() -> None:
    assert graph_smiles(parsed("[H]/N=C/C")) == "CC=N"
    assert graph_smiles(parsed("CS(C)=O")) == "CS(C)=O"
