"""Bonds as numbers: tables of the bonds of RDKit molecules, and RDKit molecules of given atoms, charges and bonds.

A bond has the order 1, 2 or 3. Aromatic molecules are kekulised, so that all orders are whole numbers and the rules of
valence are sums of them; `kekule` has their other forms.

Symbols: N atoms and E bonds of a molecule.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.rdBase import BlockLogs

from polydiff.domains.molecule.chemistry.geometry import Molecule, atoms_of

TYPES = (Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE)
"""Type of a bond of order 1, 2 and 3."""
ORDERS = {kind: order for order, kind in enumerate(TYPES, 1)}
"""Type of a bond -> its order."""
COLUMNS = 4
"""Numbers of a bond in a table: its two atoms, its order, and 1 if it is aromatic."""


def no_bonds() -> np.ndarray:
    """Return a table of no bonds, uint16 (0, 4)."""
    return np.zeros((0, COLUMNS), np.uint16)


def bond_table(mol: Any) -> np.ndarray | None:
    """Return the bonds of a sanitised RDKit molecule, uint16 (E, 4), kekulised; None if one has another order.

    A row has the two atoms i < j, the order, and whether RDKit calls the bond aromatic; rows are sorted.
    """
    plain, numbers = mol, range(mol.GetNumBonds())
    aromatic = [mol.GetBondWithIdx(number).GetIsAromatic() for number in numbers]
    if any(aromatic):
        plain = Chem.Mol(mol)
        Chem.Kekulize(plain, clearAromaticFlags=True)
    rows = []
    for number, flag in zip(numbers, aromatic, strict=True):
        bond = plain.GetBondWithIdx(number)
        order = ORDERS.get(bond.GetBondType())
        if order is None:
            return None
        i, j = sorted((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))
        rows.append((i, j, order, flag))
    return np.array(sorted(rows), np.uint16).reshape(-1, COLUMNS)


def charges_of(mol: Any) -> np.ndarray:
    """Return the formal charges of an RDKit molecule, int8 (N,)."""
    return np.array([atom.GetFormalCharge() for atom in atoms_of(mol)], np.int8)


def orders(table: np.ndarray, atoms: int) -> np.ndarray:
    """Return a table of bonds as a symmetric matrix of orders, uint8 (N, N), 0 for no bond."""
    found = np.zeros((atoms, atoms), np.uint8)
    i, j, order, _ = table.T.astype(np.int64)
    found[i, j] = found[j, i] = order
    return found


def molecule_of(mol: Any, implicit: bool = False) -> Molecule:
    """Return an RDKit molecule with its bonds, and the positions of its first conformer if it has one.

    Arguments:
        mol: Sanitised, with bonds of orders 1 to 3.
        implicit: Whether it is a graph alone (`geometry.Molecule.implicit`).
    """
    numbers = np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()], np.uint8)
    positions = np.zeros((len(numbers), 3), np.float32)
    if mol.GetNumConformers() and not implicit:
        positions = mol.GetConformer().GetPositions().astype(np.float32)
    table = bond_table(mol)
    assert table is not None, "bonds of other orders are left out before"
    return Molecule(numbers, positions, charges_of(mol), orders(table, len(numbers)), implicit)


def as_written(molecule: Molecule) -> Any:
    """Return the RDKit molecule of atoms, charges and bonds as given, not sanitised, with positions if there are any.

    Hydrogens are those among the atoms; of a graph alone, RDKit adds those that its bonds leave out.
    """
    assert molecule.bonds is not None, "its bonds are unknown"
    assert molecule.charges is not None, "its charges are unknown"
    mol = Chem.RWMol()
    for number, charge in zip(molecule.numbers.tolist(), molecule.charges.tolist(), strict=True):
        atom = Chem.Atom(number)
        atom.SetFormalCharge(charge)
        atom.SetNoImplicit(not molecule.implicit)
        mol.AddAtom(atom)
    for i, j in zip(*np.nonzero(np.triu(molecule.bonds, 1)), strict=True):
        mol.AddBond(int(i), int(j), TYPES[molecule.bonds[i, j] - 1])
    if not molecule.implicit:
        conformer = Chem.Conformer(len(molecule.numbers))
        conformer.SetPositions(molecule.positions.astype(np.float64))
        mol.AddConformer(conformer, assignId=True)
    return mol


def sanitised(molecule: Molecule) -> Any:
    """Return the RDKit molecule of atoms, charges and bonds; None if RDKit refuses it, or if it has a radical.

    It may be in several pieces and charged. Nothing is perceived: bonds and charges are those given.
    """
    mol = as_written(molecule)
    with BlockLogs():
        try:
            Chem.SanitizeMol(mol)
        except (ValueError, RuntimeError):  # a valence is exceeded
            return None
    return None if any(atom.GetNumRadicalElectrons() for atom in mol.GetAtoms()) else mol.GetMol()
