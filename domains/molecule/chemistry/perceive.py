"""What RDKit sees in atoms without bonds: a molecule, or none.

Bonds follow from distances, their orders from valence (Kim & Kim, 2015, https://doi.org/10.1002/bkcs.10334, as RDKit's
`DetermineBonds` does it). The search is cut off after a number of steps, so that no cloud of atoms can keep it busy.
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

ITERATIONS = 10_000


class Seen(NamedTuple):
    """What RDKit sees in atoms.

    Attributes:
        mol: RDKit's molecule with bonds, sanitised, of total charge 0 and without radicals; None where there is none.
        connected: Whether each atom is near enough to others for all to be one piece, whatever the valences.
    """

    mol: Any
    connected: bool


def cloud(molecule: Molecule) -> Any:
    """Return RDKit's molecule of these atoms in their places, without bonds."""
    mol = Chem.RWMol()
    for number in molecule.numbers.tolist():
        atom = Chem.Atom(number)
        atom.SetNoImplicit(True)
        mol.AddAtom(atom)
    conformer = Chem.Conformer(len(molecule.numbers))
    conformer.SetPositions(molecule.positions.astype(np.float64))
    mol.AddConformer(conformer, assignId=True)
    return mol


def finite(molecule: Molecule) -> bool:
    """Return whether all atoms are somewhere."""
    return bool(np.isfinite(molecule.positions).all())


def look(molecule: Molecule) -> Seen:
    """Return what RDKit sees in atoms; a molecule in pieces is one too."""
    if not finite(molecule):
        return Seen(None, False)
    joined, mol = cloud(molecule), cloud(molecule)
    with BlockLogs():
        rdDetermineBonds.DetermineConnectivity(joined)
        connected = len(Chem.GetMolFrags(joined)) == 1
        try:
            rdDetermineBonds.DetermineBonds(mol, charge=0, embedChiral=False, maxIterations=ITERATIONS)
            Chem.SanitizeMol(mol)
        except (ValueError, RuntimeError):  # no valence fits, or the search was cut off
            return Seen(None, connected)
    return Seen(None if any(atom.GetNumRadicalElectrons() for atom in mol.GetAtoms()) else mol, connected)


def perceive(molecule: Molecule) -> Any:
    """Return RDKit's molecule with bonds, as in `Seen`, in one piece; None where there is none."""
    mol = look(molecule).mol
    return mol if mol is not None and len(Chem.GetMolFrags(mol)) == 1 else None


def formula(molecule: Molecule) -> str:
    """Return the formula of a molecule."""
    symbol = Chem.GetPeriodicTable().GetElementSymbol
    return hill(Counter(symbol(number) for number in molecule.numbers.tolist()))


def hill(counts: Mapping[str, int]) -> str:
    """Return numbers of atoms of elements as a formula in Hill's order: carbon, hydrogen, then by the alphabet."""
    there = {symbol for symbol, n in counts.items() if n}
    first = [symbol for symbol in ("C", "H") if {"C", symbol} <= there]
    symbols = [*first, *sorted(there - set(first))]
    return "".join(symbol + (str(counts[symbol]) if counts[symbol] > 1 else "") for symbol in symbols)
