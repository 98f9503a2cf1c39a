"""A user's own molecules or fragments from files, and atoms selected by a pattern or by numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.rdBase import BlockLogs

from polydiff.domains.molecule.chemistry.bonds import as_written, bond_table, charges_of, orders
from polydiff.domains.molecule.chemistry.composition import read_formula, symbols
from polydiff.domains.molecule.chemistry.geometry import Molecule, Rejected, atomic_numbers, positions
from polydiff.domains.molecule.chemistry.perceive import perceive
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data.files import items, molecule_files
from polydiff.domains.molecule.data.filters import Selection, check_atoms, check_positions, has_positions
from polydiff.domains.molecule.data.preparation.prepare import Item, prepare
from polydiff.support.errors import UserError, amount

MAX_MOLECULES = 1000
"""Largest number of molecules in one file, which form one batch."""
SANITISED = Chem.SanitizeFlags.SANITIZE_ALL ^ Chem.SanitizeFlags.SANITIZE_PROPERTIES
"""All of RDKit's sanitisation but for the check of valences, which may be open in fragments."""
ATOM_NUMBERS = re.compile(r"\d{1,9}(-\d{1,9})?(,\d{1,9}(-\d{1,9})?)*", re.ASCII)
"""A list of atom numbers, such as 0,1,4-7."""


def read_molecules(paths: Sequence[Path], data: MoleculeData, elements: Sequence[str], most: int) -> list[Molecule]:
    """Return the molecules of files, with their bonds where these are known.

    A .sdf record with positions, or a frame of an .xyz, may be a fragment. Its atoms are used unchanged, except that
    atoms without an element, which mark cut bonds, are removed. Geometries of SMILES are computed. With
    data.positions=false, molecules are graphs alone.

    Arguments:
        paths: Files of kind .sdf, .mol, .xyz, .smi, .csv or .tsv.
        data: Section of the configuration, with the column of SMILES in a table.
        elements: Symbols of the elements that the model was trained on.
        most: Largest number of atoms that the model supports.

    Raises:
        UserError: A file is missing, is empty, has too many molecules, or contains one that cannot be used. The message
            names the record, frame or line.
    """
    graph = None if data.positions else ()
    selection = Selection(tuple(elements), max_atoms=most, conformers=1, graph=graph)
    found = []
    for path in paths:
        if not path.is_file():
            raise UserError(f"There is no file {path}.")
        molecules = [read_item(path, item, selection) for item in items(molecule_files(path), path.parent, data)]
        if not 1 <= len(molecules) <= MAX_MOLECULES:
            raise UserError(f"{path} contains {len(molecules)} molecules; a file must contain 1 to {MAX_MOLECULES}.")
        found += molecules
    return found


def read_item(path: Path, item: Item, selection: Selection) -> Molecule:
    """Return the molecule of one record, frame or line of a file."""
    try:
        whole = selection.graph is not None
        if item.kind == "record" and not whole and (molecule := read_record(item.text, selection)) is not None:
            return molecule
        entry = prepare(item, selection)
        if isinstance(entry, Rejected):
            raise entry
    except Rejected as reason:
        text = str(reason).replace("which data.elements does not name", "which the training data do not")
        text = text.replace("data.max_atoms=", "")
        raise UserError(f"{path}, {item.name}: the molecule cannot be used because {text}.") from reason
    if entry.bonds is None:
        return Molecule(entry.numbers, entry.positions[0])
    bonds = orders(entry.bonds, len(entry.numbers))
    return Molecule(entry.numbers, entry.positions[0], entry.charges, bonds, entry.implicit)


def read_record(record: str, selection: Selection) -> Molecule | None:
    """Return the atoms of a .sdf record, which may be a fragment; None if the record has no positions."""
    with BlockLogs():
        mol = Chem.MolFromMolBlock(record, removeHs=False, sanitize=False)
    if mol is None:
        raise Rejected("RDKit does not understand its record")
    if not mol.GetNumAtoms() or not has_positions(mol):
        return None
    numbers, (r,) = atomic_numbers(mol), positions(mol)
    real = numbers > 0
    check_atoms(numbers[real].tolist(), selection)
    check_positions(r[real])
    molecule = Molecule(numbers[real], r[real])
    return molecule if (bonds := written_bonds(mol)) is None else with_bonds(molecule, charges_of(mol), bonds, real)


def written_bonds(mol: Any) -> np.ndarray | None:
    """Return the orders of the bonds of an RDKit molecule that is not sanitised, (N, N), kekulised.

    None if it has no bonds, or one that is not of order 1, 2 or 3 in any Kekule form.
    """
    plain = Chem.Mol(mol)
    with BlockLogs():
        if Chem.SanitizeMol(plain, SANITISED, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
            return None
    table = bond_table(plain)
    return None if table is None or not len(table) else orders(table, mol.GetNumAtoms())


def with_bonds(molecule: Molecule, charges: np.ndarray, bonds: np.ndarray, real: np.ndarray) -> Molecule:
    """Return a molecule with charges (N,) and bonds (N, N), of which the atoms `real` are its own."""
    return molecule._replace(charges=charges[real], bonds=bonds[np.ix_(real, real)])


def select_atoms(text: str, molecule: Molecule) -> np.ndarray:
    """Return which atoms of a molecule a text selects, booleans (N,).

    A pattern selects all atoms of all its matches, with the molecule's own bonds, or those that RDKit perceives.

    Arguments:
        text: Atom numbers counted from 0, such as 0,1,4-7, or a SMARTS pattern.
        molecule: The molecule.

    Raises:
        UserError: A number is out of range, or the pattern is malformed or matches nothing.
    """
    n = len(molecule.numbers)
    if ATOM_NUMBERS.fullmatch(text):
        spans = [parse_range(part) for part in text.split(",")]
        if (last := max(numbers[-1] for numbers in spans)) >= n:
            raise UserError(
                f"{text}: atom {last} does not exist; the molecule has {amount(n, 'atom')}, counted from 0."
            )
        chosen = set[int]().union(*spans)
    else:
        chosen = match_pattern(text, molecule)
    return np.isin(np.arange(n), sorted(chosen))


def parse_range(part: str) -> range:
    """Return the numbers of a text such as 4 or 4-7."""
    first, _, last = part.partition("-")
    numbers = range(int(first), int(last or first) + 1)
    if not numbers:
        raise UserError(f"{part}: the lower number must come first.")
    return numbers


def match_pattern(text: str, molecule: Molecule) -> set[int]:
    """Return the indices of the atoms of all matches of a SMARTS pattern."""
    with BlockLogs():
        pattern = Chem.MolFromSmarts(text)
    if pattern is None or not pattern.GetNumAtoms():
        raise UserError(
            f"{text} does not select atoms. Use a SMARTS pattern, such as c1ccccc1, or atom numbers, such as 0,1,4-7."
        )
    mol = perceive(molecule) if molecule.bonds is None else own_molecule(molecule)
    if mol is None:
        raise UserError(
            f"{text}: RDKit finds no bonds in this molecule, so no pattern matches. Use atom numbers, such as 0,1,4-7."
        )
    found = {i for match in mol.GetSubstructMatches(pattern, maxMatches=10_000) for i in match}
    if not found:
        raise UserError(f"{text} matches no part of {Chem.MolToSmiles(Chem.RemoveHs(mol, sanitize=False))}.")
    return found


def own_molecule(molecule: Molecule) -> Any:
    """Return the RDKit molecule of a molecule's own bonds, whose atoms may have open valences; None if it has none."""
    mol = as_written(molecule)
    with BlockLogs():
        failed = Chem.SanitizeMol(mol, SANITISED, catchErrors=True)
    return mol if failed == Chem.SanitizeFlags.SANITIZE_NONE else None


def parse_added_atoms(text: str, elements: Sequence[int]) -> tuple[int, dict[int, int] | None]:
    """Return the number of atoms to add, and atomic number -> number of atoms; None if elements are not specified.

    Arguments:
        text: A number of atoms or a formula: 6 or C2H4.
        elements: Atomic numbers that the model was trained on.

    Raises:
        UserError: The text is neither, or adds no atom.
    """
    is_number = re.fullmatch(r"[0-9]{1,9}", text)
    counts = None if is_number else dict(zip(elements, read_formula(text, symbols(elements)).values(), strict=True))
    count = int(text) if counts is None else sum(counts.values())
    if not count:
        raise UserError(f"add {text}: specify how many atoms to add, such as 6, or which, such as C2H4.")
    return count, counts


def with_added_atoms(molecule: Molecule, numbers: Sequence[int]) -> Molecule:
    """Return a molecule with atoms of these atomic numbers appended, all at the origin and without bonds."""
    n = len(numbers)
    larger = molecule._replace(
        numbers=np.concatenate([molecule.numbers, np.array(numbers, np.uint8)]),
        positions=np.concatenate([molecule.positions, np.zeros((n, 3), np.float32)]),
    )
    if molecule.bonds is None or molecule.charges is None:
        return larger
    charges = np.concatenate([molecule.charges, np.zeros(n, np.int8)])
    return larger._replace(charges=charges, bonds=np.pad(molecule.bonds, (0, n)))
