"""Perception of bonds: a molecule with bonds from atoms and positions, if RDKit finds one.

RDKit's `DetermineBonds` derives bonds from distances and their orders from valences (Kim & Kim, 2015,
https://doi.org/10.1002/bkcs.10334). The search stops after a fixed number of steps, so its time is bounded for any
atoms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDetermineBonds
from rdkit.rdBase import BlockLogs

from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.chemistry.identity import MAX_SEARCH_STEPS, molecule_key

COVALENT_FACTOR = 1.2
"""Factor on the sum of two covalent radii below which two atoms are bonded, in the second attempt on data."""


class Perception(NamedTuple):
    """The result of perceiving bonds.

    Attributes:
        mol: RDKit molecule with bonds, sanitised, of total charge 0 and without radicals; None if RDKit finds none.
        connected: Whether bonds by distance alone, regardless of valences, join all atoms in one piece.
    """

    mol: Any
    connected: bool


def without_bonds(molecule: Molecule) -> Any:
    """Return the RDKit molecule of the atoms at their positions, without bonds."""
    mol = Chem.RWMol()
    for number in molecule.numbers.tolist():
        atom = Chem.Atom(number)
        atom.SetNoImplicit(True)
        mol.AddAtom(atom)
    conformer = Chem.Conformer(len(molecule.numbers))
    conformer.SetPositions(molecule.positions.astype(np.float64))
    mol.AddConformer(conformer, assignId=True)
    return mol


def has_finite_positions(molecule: Molecule) -> bool:
    """Return whether all positions are finite."""
    return bool(np.isfinite(molecule.positions).all())


def perceive_pieces(molecule: Molecule) -> Perception:
    """Return the perception of a molecule that may be in several pieces."""
    if not has_finite_positions(molecule):
        return Perception(None, False)
    joined, mol = without_bonds(molecule), without_bonds(molecule)
    with BlockLogs():
        rdDetermineBonds.DetermineConnectivity(joined)
        connected = len(Chem.GetMolFrags(joined)) == 1
        try:
            rdDetermineBonds.DetermineBonds(mol, charge=0, embedChiral=False, maxIterations=MAX_SEARCH_STEPS)
            Chem.SanitizeMol(mol)
        except (ValueError, RuntimeError):  # no valence fits, or the search stopped
            return Perception(None, connected)
    return Perception(None if any(atom.GetNumRadicalElectrons() for atom in mol.GetAtoms()) else mol, connected)


def perceive(molecule: Molecule) -> Any:
    """Return the RDKit molecule with bonds, as in `Perception.mol`; None if RDKit finds none or several pieces."""
    mol = perceive_pieces(molecule).mol
    return mol if mol is not None and len(Chem.GetMolFrags(mol)) == 1 else None


def perceive_by_radii(molecule: Molecule) -> Any:
    """Return the RDKit molecule with bonds between atoms nearer than `COVALENT_FACTOR` times their covalent radii.

    It is the second attempt for molecules of a data set in which `perceive` finds none. Samples are not given one.

    Returns:
        As for `perceive`.
    """
    mol = without_bonds(molecule)
    with BlockLogs():
        try:
            rdDetermineBonds.DetermineConnectivity(mol, useVdw=True, covFactor=COVALENT_FACTOR)
            rdDetermineBonds.DetermineBondOrders(mol, charge=0, embedChiral=False, maxIterations=MAX_SEARCH_STEPS)
            Chem.SanitizeMol(mol)
        except (ValueError, RuntimeError):  # no valence fits, or the search stopped
            return None
    radical = any(atom.GetNumRadicalElectrons() for atom in mol.GetAtoms())
    return None if radical or len(Chem.GetMolFrags(mol)) > 1 else mol


def perceived_key(molecule: Molecule) -> str:
    """Return the `molecule_key` of the molecule that RDKit perceives; "" if it finds none or several pieces."""
    mol = perceive(molecule)
    return "" if mol is None else molecule_key(mol)


def has_charged_atoms(mol: Any) -> bool:
    """Return whether an atom of an RDKit molecule has a formal charge."""
    return any(atom.GetFormalCharge() for atom in mol.GetAtoms())


def formula(molecule: Molecule) -> str:
    """Return the formula of a molecule in Hill's order."""
    symbol = Chem.GetPeriodicTable().GetElementSymbol
    return hill_formula(Counter(symbol(number) for number in molecule.numbers.tolist()))


def hill_formula(counts: Mapping[str, int]) -> str:
    """Return symbol -> number of atoms as a formula in Hill's order.

    With carbon: carbon, hydrogen, then the alphabet. Without carbon: the alphabet.
    """
    present = {symbol for symbol, n in counts.items() if n}
    first = [symbol for symbol in ("C", "H") if {"C", symbol} <= present]
    symbols = [*first, *sorted(present - set(first))]
    return "".join(symbol + (str(counts[symbol]) if counts[symbol] > 1 else "") for symbol in symbols)
