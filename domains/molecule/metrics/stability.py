r"""Stability by a table of bond lengths: the rule of EDM (Hoogeboom et al., 2022, https://arxiv.org/abs/2203.17003).

Two atoms at distance d (in pm) have a bond of order 1 if d < B_1 + 10, of order 2 if also d < B_2 + 5, and of order 3
if also d < B_3 + 3. An atom is stable if its bond orders add up to a valence of its element. A molecule is stable if
all its atoms are. The rule measures the precision of positions more than the chemistry. It calls benzene unstable,
since its bonds are all equal. An error of 0.05 Å on each coordinate makes nine of ten molecules unstable.

Symbols: B_k bond length of order k in the table, in pm; N atoms of a molecule.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from rdkit import Chem
from rdkit.rdBase import BlockLogs

from polydiff.domains.molecule.chemistry.geometry import Molecule

MARGINS = (10.0, 5.0, 3.0)
"""Tolerances in pm by which bonds of order 1, 2, 3 may be longer than in the table."""

SINGLE: Mapping[str, float] = {
    "H-H": 74, "H-C": 109, "H-N": 101, "H-O": 96, "H-F": 92, "H-B": 119, "H-Si": 148, "H-P": 144, "H-As": 152,
    "H-S": 134, "H-Cl": 127, "H-Br": 141, "H-I": 161,
    "C-C": 154, "C-N": 147, "C-O": 143, "C-F": 135, "C-Si": 185, "C-P": 184, "C-S": 182, "C-Cl": 177, "C-Br": 194,
    "C-I": 214,
    "N-N": 145, "N-O": 140, "N-F": 136, "N-Cl": 175, "N-Br": 214, "N-S": 168, "N-I": 222, "N-P": 177,
    "O-O": 148, "O-F": 142, "O-Br": 172, "O-S": 151, "O-P": 163, "O-Si": 163, "O-Cl": 164, "O-I": 194,
    "F-F": 142, "F-S": 158, "F-Si": 160, "F-Cl": 166, "F-Br": 178, "F-P": 156, "F-I": 187,
    "Si-Si": 233, "Si-S": 200, "Si-Cl": 202, "Si-Br": 215, "Si-I": 243,
    "Cl-Cl": 199, "Cl-P": 203, "Cl-Br": 214, "Cl-S": 207, "Cl-B": 175,
    "S-S": 204, "S-Br": 225, "S-P": 210, "S-I": 234,
    "Br-Br": 228, "Br-P": 222, "I-I": 266, "P-P": 221,
}  # fmt: skip
DOUBLE: Mapping[str, float] = {
    "C-C": 134, "C-N": 129, "C-O": 120, "C-S": 160, "N-N": 125, "N-O": 121, "O-O": 121, "O-P": 150, "P-S": 186,
}  # fmt: skip
TRIPLE: Mapping[str, float] = {"C-C": 120, "C-N": 116, "C-O": 113, "N-N": 110}
"""Bond lengths in pm."""

VALENCES: Mapping[str, tuple[int, ...]] = {
    "H": (1,), "C": (4,), "N": (3,), "O": (2,), "F": (1,), "B": (3,), "Al": (3,), "Si": (4,), "P": (3, 5), "S": (4,),
    "Cl": (1,), "As": (3,), "Br": (1,), "I": (1,), "Hg": (1, 2), "Bi": (3, 5),
}  # fmt: skip
"""Sums of bond orders that count as stable, without charges."""

BONDS = (Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE)


def bond_orders(molecule: Molecule) -> np.ndarray:
    """Return the bond order of each pair of atoms by the tables, integers (N, N); 0 for no bond."""
    symbols = [Chem.GetPeriodicTable().GetElementSymbol(number) for number in molecule.numbers.tolist()]
    r = np.where(np.isfinite(molecule.positions), molecule.positions, np.nan).astype(np.float64)
    distance = 100 * np.linalg.norm(r[:, None] - r, axis=-1)
    bonded, orders = ~np.eye(len(symbols), dtype=bool), np.zeros((len(symbols), len(symbols)), np.int64)
    for table, margin in zip((SINGLE, DOUBLE, TRIPLE), MARGINS, strict=True):
        bonded &= distance < lengths(symbols, table) + margin
        orders += bonded
    return orders


def lengths(symbols: list[str], table: Mapping[str, float]) -> np.ndarray:
    """Return the table's bond length of each pair of atoms in pm (N, N); minus infinity if it has none."""
    of = {pair: length for name, length in table.items() for a, b in [name.split("-")] for pair in [(a, b), (b, a)]}
    return np.array([[of.get((a, b), -np.inf) for b in symbols] for a in symbols])


def stable_atoms(molecule: Molecule) -> np.ndarray:
    """Return which atoms are stable, booleans (N,)."""
    symbols = [Chem.GetPeriodicTable().GetElementSymbol(number) for number in molecule.numbers.tolist()]
    sums = bond_orders(molecule).sum(1).tolist()
    return np.array([total in VALENCES.get(symbol, ()) for symbol, total in zip(symbols, sums, strict=True)], bool)


def table_smiles(molecule: Molecule) -> str | None:
    """Return the SMILES of the largest piece of a molecule with the tables' bonds; None if RDKit rejects it.

    This is EDM's definition of validity: missing bonds are filled with hydrogens, charges are 0, and a molecule may be
    in several pieces.
    """
    mol, orders = Chem.RWMol(), bond_orders(molecule)
    for number in molecule.numbers.tolist():
        mol.AddAtom(Chem.Atom(number))
    for a, b in zip(*np.nonzero(np.triu(orders)), strict=True):
        mol.AddBond(int(a), int(b), BONDS[orders[a, b] - 1])
    with BlockLogs():
        try:
            Chem.SanitizeMol(mol)
            pieces = Chem.GetMolFrags(mol, asMols=True)
        except ValueError:  # a valence is exceeded, or a ring has no Kekule structure
            return None
    return str(Chem.MolToSmiles(max(pieces, key=lambda piece: int(piece.GetNumAtoms()))))
