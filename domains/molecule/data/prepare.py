"""Preparation of one molecule, in a worker process: from SMILES, a .sdf record, or atoms with positions.

The checks of `filters` run before any geometry is computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDetermineBonds
from rdkit.Chem.MolStandardize import rdMolStandardize
from rdkit.rdBase import BlockLogs

from polydiff.domains.molecule.chemistry.geometry import (
    Molecule,
    Rejected,
    atomic_numbers,
    embed,
    graph_smiles,
    positions,
)
from polydiff.domains.molecule.chemistry.perceive import perceive, without_bonds
from polydiff.domains.molecule.chemistry.properties import PROPERTIES, measure
from polydiff.domains.molecule.data.filters import (
    Selection,
    check_atoms,
    check_coordinates,
    check_molecule,
    check_positions,
    has_positions,
    too_many,
)
from polydiff.domains.molecule.data.library import Entry

MAX_CHARACTERS_PER_ATOM = 100
"""Largest length of SMILES that is parsed, in characters per allowed atom."""


class Item(NamedTuple):
    """One record, line or frame of a data set, not yet parsed.

    Attributes:
        name: Its place, such as "line 17".
        kind: Kind of text, a key of `READERS`.
        text: The text itself.
        columns: Metadata of the molecule, name -> text.
    """

    name: str
    kind: str
    text: str
    columns: Mapping[str, str] = {}


def prepare(item: Item, selection: Selection) -> Entry | Rejected:
    """Return the molecule of an item, or the reason that rejects it."""
    try:
        with BlockLogs():
            return READERS[item.kind](item.text, selection)
    except Rejected as reason:
        return reason
    except (ValueError, RuntimeError) as error:
        return Rejected(f"RDKit fails on it ({type(error).__name__})")


def from_smiles(text: str, selection: Selection) -> Entry:
    """Return the largest fragment of a SMILES, neutralised if possible, with computed geometries."""
    if not text:
        raise Rejected("its SMILES is empty")
    if len(text) > MAX_CHARACTERS_PER_ATOM * selection.max_atoms:
        raise Rejected(too_many(selection))
    mol = Chem.MolFromSmiles(text)
    if mol is None:
        raise Rejected("RDKit does not understand its SMILES")
    return with_computed_geometries(mol, selection)


def with_computed_geometries(mol: Any, selection: Selection) -> Entry:
    """Return the largest fragment of an RDKit molecule, neutralised if possible, with computed geometries."""
    if mol.GetNumAtoms() == 0:
        raise Rejected("it has no atoms")
    largest = max(Chem.GetMolFrags(mol, asMols=True), key=lambda part: part.GetNumHeavyAtoms())
    if largest.GetNumHeavyAtoms() > selection.max_atoms:
        raise Rejected(too_many(selection))
    plain = Chem.RemoveHs(rdMolStandardize.Uncharger().uncharge(without_labels(largest)))
    check_molecule(Chem.AddHs(plain), selection)
    smiles = Chem.MolToSmiles(plain)
    if not selection.compute:
        whole = Chem.AddHs(plain)
        zeros = np.zeros((whole.GetNumAtoms(), 3), np.float32)
        return Entry(graph_smiles(plain), atomic_numbers(whole), [zeros], [unknown_properties()], smiles)
    return entry_of(embed(smiles, selection.conformers, selection.seconds))._replace(source=smiles)


def without_labels(mol: Any) -> Any:
    """Remove isotopes and atom map numbers from a molecule, in place, and return it."""
    for atom in mol.GetAtoms():
        atom.SetIsotope(0)
        atom.SetAtomMapNum(0)
    return mol


def entry_of(mol: Any) -> Entry:
    """Return the entry of an RDKit molecule that has hydrogens and conformers."""
    ids = [conformer.GetId() for conformer in mol.GetConformers()]
    measured = [measure(mol, list(PROPERTIES), i) for i in ids]
    return Entry(graph_smiles(mol), atomic_numbers(mol), positions(mol), measured)


def unknown_properties() -> list[float]:
    """Return NaN for each property."""
    return [math.nan] * len(PROPERTIES)


def from_record(text: str, selection: Selection) -> Entry:
    """Return the molecule of a .sdf record: with its own positions if it has them, else with computed geometries."""
    mol = Chem.MolFromMolBlock(text, removeHs=False)
    if mol is None:
        raise Rejected("RDKit does not understand its record")
    if not has_positions(mol):
        return with_computed_geometries(mol, selection)
    check_coordinates(text, mol.GetNumAtoms())
    check_atoms(atomic_numbers(mol).tolist(), selection)
    if len(Chem.GetMolFrags(mol)) > 1:
        raise Rejected("it is in several pieces")
    check_positions(mol.GetConformer().GetPositions())
    if any(atom.GetTotalNumHs() for atom in mol.GetAtoms()):
        if not selection.add_hydrogens:
            raise Rejected("it lacks hydrogens, which data.add_hydrogens=true adds")
        mol = Chem.AddHs(mol, addCoords=True)
    check_molecule(mol, selection)
    return entry_of(without_labels(mol))


def from_atoms(text: str, selection: Selection) -> Entry:
    """Return the molecule of an .xyz frame: a number of atoms and as many lines such as "C 0.0 1.2 -3.4", in Å.

    If RDKit perceives no bonds, its properties are unknown.
    """
    count, *lines = text.splitlines()
    if not count.strip().isdigit():
        raise Rejected("it does not start with a number of atoms")
    if int(count) > selection.max_atoms:
        raise Rejected(too_many(selection))
    if len(lines) < int(count):
        raise Rejected("it is truncated")
    atoms = [parse_atom(line) for line in lines[: int(count)]]
    check_atoms([number for number, _ in atoms], selection)
    r = np.array([place for _, place in atoms])
    check_positions(r)
    molecule = Molecule(np.array([number for number, _ in atoms], np.uint8), r.astype(np.float32))
    return entry_with_positions(molecule, perceive(molecule))


def parse_atom(line: str) -> tuple[int, list[float]]:
    """Return the atomic number and the position of a line of an .xyz; further columns are ignored."""
    symbol, *rest = line.split()
    try:
        number = int(symbol) if symbol.isdigit() else Chem.GetPeriodicTable().GetAtomicNumber(symbol.capitalize())
        place = [float(word.replace("*^", "e")) for word in rest[:3]]
    except (ValueError, RuntimeError):
        number, place = 0, []
    if len(place) < 3 or not 0 < number < 119:
        raise Rejected('a line of it is not "element x y z"')
    return number, place


def entry_with_positions(molecule: Molecule, mol: Any) -> Entry:
    """Return the entry of a molecule with given positions and its RDKit molecule, which may be None."""
    if mol is None:
        return Entry(connectivity_smiles(molecule), molecule.numbers, [molecule.positions], [unknown_properties()])
    return Entry(graph_smiles(mol), molecule.numbers, [molecule.positions], [measure(mol, list(PROPERTIES))])


def connectivity_smiles(molecule: Molecule) -> str:
    """Return a SMILES with single bonds by distance, which identifies a molecule whose bond orders are unknown."""
    mol = without_bonds(molecule)
    rdDetermineBonds.DetermineConnectivity(mol)
    smiles: str = Chem.MolToSmiles(mol)
    return smiles


def from_gdb9(text: str, selection: Selection) -> Entry:
    """Return a molecule of QM9 with its atoms and positions.

    Some bonds and charges of gdb9.sdf are wrong. If they do not form a valid neutral molecule, RDKit perceives the
    bonds instead, and the properties are unknown if it finds none.
    """
    mol = Chem.MolFromMolBlock(text, removeHs=False, sanitize=False)
    if mol is None:
        raise Rejected("RDKit does not understand its record")
    check_coordinates(text, mol.GetNumAtoms())
    numbers, r = atomic_numbers(mol), mol.GetConformer().GetPositions()
    check_atoms(numbers.tolist(), selection)
    check_positions(r)
    molecule = Molecule(numbers, r.astype(np.float32))
    return entry_with_positions(molecule, mol if sanitise(mol) else perceive(molecule))


def sanitise(mol: Any) -> bool:
    """Sanitise an RDKit molecule in place, and return whether it is valid, neutral, complete and in one piece."""
    try:
        Chem.SanitizeMol(mol)
        check_molecule(mol, Selection(max_atoms=mol.GetNumAtoms()))
    except (ValueError, Rejected):
        return False
    return len(Chem.GetMolFrags(mol)) == 1 and not any(atom.GetTotalNumHs() for atom in mol.GetAtoms())


def reject(text: str, _: Selection) -> Entry:
    """Raise `Rejected` with the text of an item that its reader has rejected."""
    raise Rejected(text)


READERS: Mapping[str, Callable[[str, Selection], Entry]] = {
    "smiles": from_smiles,
    "record": from_record,
    "atoms": from_atoms,
    "gdb9": from_gdb9,
    "rejected": reject,
}
"""Kind of text -> function that parses it."""
