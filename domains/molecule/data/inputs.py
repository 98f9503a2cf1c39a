"""A user's own molecules or fragments from files, and atoms selected by a pattern or by numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rdkit import Chem
from rdkit.rdBase import BlockLogs

from polydiff.domains.molecule.chemistry.composition import read_formula, symbols
from polydiff.domains.molecule.chemistry.geometry import Molecule, Rejected, atomic_numbers, positions
from polydiff.domains.molecule.chemistry.perceive import perceive
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data.files import items, molecule_files
from polydiff.domains.molecule.data.filters import Selection, check_atoms, check_positions, has_positions
from polydiff.domains.molecule.data.prepare import Item, prepare
from polydiff.support.errors import UserError, amount

MAX_MOLECULES = 1000
"""Largest number of molecules in one file, which form one batch."""
ATOM_NUMBERS = re.compile(r"\d{1,9}(-\d{1,9})?(,\d{1,9}(-\d{1,9})?)*", re.ASCII)
"""A list of atom numbers, such as 0,1,4-7."""


def read_molecules(paths: Sequence[Path], data: MoleculeData, elements: Sequence[str], most: int) -> list[Molecule]:
    """Return the molecules of files.

    A .sdf record with positions, or a frame of an .xyz, may be a fragment. Its atoms are used unchanged, except that
    atoms without an element, which mark cut bonds, are removed. Geometries of SMILES are computed.

    Arguments:
        paths: Files of kind .sdf, .mol, .xyz, .smi, .csv or .tsv.
        data: Section of the configuration, with the column of SMILES in a table.
        elements: Symbols of the elements that the model was trained on.
        most: Largest number of atoms that the model supports.

    Raises:
        UserError: A file is missing, is empty, has too many molecules, or contains one that cannot be used. The message
            names the record, frame or line.
    """
    selection = Selection(tuple(elements), max_atoms=most, conformers=1)
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
        if item.kind == "record" and (molecule := read_record(item.text, selection)) is not None:
            return molecule
        entry = prepare(item, selection)
        if isinstance(entry, Rejected):
            raise entry
    except Rejected as reason:
        text = str(reason).replace("which data.elements does not name", "which the training data do not")
        text = text.replace("data.max_atoms=", "")
        raise UserError(f"{path}, {item.name}: the molecule cannot be used because {text}.") from reason
    return Molecule(entry.numbers, entry.positions[0])


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
    return Molecule(numbers[real], r[real])


def select_atoms(text: str, molecule: Molecule) -> np.ndarray:
    """Return which atoms of a molecule a text selects, booleans (N,).

    A pattern selects all atoms of all its matches, with the bonds that RDKit perceives.

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
    mol = perceive(molecule)
    if mol is None:
        raise UserError(
            f"{text}: RDKit finds no bonds in this molecule, so no pattern matches. Use atom numbers, such as 0,1,4-7."
        )
    found = {i for match in mol.GetSubstructMatches(pattern, maxMatches=10_000) for i in match}
    if not found:
        raise UserError(f"{text} matches no part of {Chem.MolToSmiles(Chem.RemoveHs(mol))}.")
    return found


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
        raise UserError(f"--add {text}: specify how many atoms to add, such as 6, or which, such as C2H4.")
    return count, counts


def with_added_atoms(molecule: Molecule, numbers: Sequence[int]) -> Molecule:
    """Return a molecule with atoms of these atomic numbers appended, all at the origin."""
    origin = np.zeros((len(numbers), 3), np.float32)
    return Molecule(
        np.concatenate([molecule.numbers, np.array(numbers, np.uint8)]), np.concatenate([molecule.positions, origin])
    )
