"""The identity of a molecule: one key for all its notations.

A file may write one molecule in many ways: with or without hydrogens, isotopes, stereochemistry or formal charges, with
aromatic or Kekule bonds, with its atoms in any order. Bonds perceived from a geometry are one more notation. What they
share is which atoms are bonded, hydrogens included. Tautomers differ in the places of their hydrogens, so they have
different keys. Structures that differ in bond orders or formal charges only are resonance structures of one molecule
and share their key. So do valence isomers that differ in bond orders only, such as those of a substituted
cyclooctatetraene.
"""

from __future__ import annotations

from typing import Any

from rdkit import Chem
from rdkit.Chem import rdDetermineBonds
from rdkit.rdBase import BlockLogs

from polydiff.domains.molecule.chemistry.properties import without_hydrogens

MAX_SEARCH_STEPS = 10_000
"""Number of steps after which the search for bond orders stops without a result."""
NO_BONDS = (Chem.BondType.ZERO, Chem.BondType.HYDROGEN)
"""Types of bond that join no atoms of a molecule."""


def graph_smiles(mol: Any) -> str:
    """Return the canonical SMILES of a molecule as it is written, without stereochemistry and removable hydrogens."""
    flat = Chem.Mol(mol)
    Chem.RemoveStereochemistry(flat)  # its bonds would keep the hydrogens that define it
    smiles: str = Chem.MolToSmiles(without_hydrogens(flat), isomericSmiles=False)
    return smiles


def molecule_key(mol: Any) -> str:
    """Return the key of an RDKit molecule, which is the same for all its notations.

    It is the canonical SMILES with the bond orders that RDKit derives from the bonded atoms alone, for a total charge
    of 0. If RDKit derives none, it is the SMILES of all atoms, hydrogens included, with single bonds.

    Arguments:
        mol: The molecule, with or without explicit hydrogens. Bond orders and charges only determine its number of
            implicit hydrogens.
    """
    bare = skeleton(mol)
    with BlockLogs():
        ranks = list(Chem.CanonicalRankAtoms(bare))
        bare = Chem.RenumberAtoms(bare, sorted(range(len(ranks)), key=ranks.__getitem__))  # the search depends on it
        derived = Chem.Mol(bare)
        try:
            rdDetermineBonds.DetermineBondOrders(derived, charge=0, embedChiral=False, maxIterations=MAX_SEARCH_STEPS)
            Chem.SanitizeMol(derived)
            if not any(atom.GetNumRadicalElectrons() for atom in derived.GetAtoms()):
                return graph_smiles(derived)
        except (ValueError, RuntimeError):  # no valence fits, or the search stopped
            pass
        smiles: str = Chem.MolToSmiles(bare)
        return smiles


def skeleton(mol: Any) -> Any:
    """Return the atoms of a molecule with all hydrogens explicit, and single bonds; without charges and isotopes."""
    whole, bare = Chem.AddHs(mol), Chem.RWMol()
    for atom in whole.GetAtoms():
        plain = Chem.Atom(atom.GetAtomicNum())
        plain.SetNoImplicit(True)
        bare.AddAtom(plain)
    for bond in whole.GetBonds():
        if bond.GetBondType() not in NO_BONDS:
            bare.AddBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), Chem.BondType.SINGLE)
    bare.UpdatePropertyCache(strict=False)
    return bare.GetMol()
