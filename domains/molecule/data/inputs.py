"""Molecules of the user's own, whole or in part, as they stand in files; and parts of molecules, named in words."""

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
from polydiff.domains.molecule.data.files import items, kind_of, molecule_files
from polydiff.domains.molecule.data.prepare import Item, Wanted, check_atoms, check_places, has_places, prepare
from polydiff.support.errors import UserError

MOST = 1000
"""Molecules of one file, which are computed together."""
NUMBERS = re.compile(r"\d{1,9}(-\d{1,9})?(,\d{1,9}(-\d{1,9})?)*", re.ASCII)
"""Numbers of atoms, such as 0,1,4-7."""


def read_molecules(paths: Sequence[Path], data: MoleculeData, elements: Sequence[str], most: int) -> list[Molecule]:
    """Return the molecules of files.

    A record of a .sdf with positions, or a frame of an .xyz, may be a fragment: its atoms are taken as they are, but
    for those without an element, which mark where it was cut. Geometries of SMILES are computed.

    Arguments:
        paths: .sdf, .xyz, .smi or .csv.
        data: Says the column of a .csv.
        elements: Symbols of those that the model knows.
        most: Atoms of the largest that it can make.

    Raises:
        UserError: A file holds nothing, too much, or what cannot be used; it is told which place it is.
    """
    wanted = Wanted(tuple(elements), max_atoms=most, conformers=1)
    found = []
    for path in paths:
        if not path.is_file():
            raise UserError(f"There is no file {path}.")
        molecules = [one(path, item, wanted) for item in items(molecule_files(path), path.parent, data)]
        if not 1 <= len(molecules) <= MOST:
            raise UserError(f"{path} holds {len(molecules)} molecules; a file should hold 1 to {MOST}.")
        found += molecules
    return found


def one(path: Path, item: Item, wanted: Wanted) -> Molecule:
    """Return what stands at a place of a file."""
    try:
        if kind_of(path) == ".sdf" and (molecule := placed(item.text, wanted)) is not None:
            return molecule
        entry = prepare(item, wanted)
        if isinstance(entry, Rejected):
            raise entry
    except Rejected as reason:
        words = str(reason).replace("which data.elements does not name", "of which training had none")
        words = words.replace("data.max_atoms=", "")
        raise UserError(f"{path}, {item.name}: it cannot be used, since {words}.") from reason
    return Molecule(entry.numbers, entry.positions[0])


def placed(record: str, wanted: Wanted) -> Molecule | None:
    """Return the atoms of a record that has positions, which need not be a whole molecule; None where it has none."""
    with BlockLogs():
        mol = Chem.MolFromMolBlock(record, removeHs=False, sanitize=False)
    if mol is None:
        raise Rejected("RDKit does not understand its record")
    if not mol.GetNumAtoms() or not has_places(mol):
        return None
    numbers, (places,) = atomic_numbers(mol), positions(mol)
    real = numbers > 0
    check_atoms(numbers[real].tolist(), wanted)
    check_places(places[real])
    return Molecule(numbers[real], places[real])


def named(text: str, molecule: Molecule) -> np.ndarray:
    """Return which atoms of a molecule words name, booleans (N,): numbers counted from 0, or a SMARTS pattern.

    A pattern names all atoms of all its matches in the bonds that RDKit sees.
    """
    n = len(molecule.numbers)
    if NUMBERS.fullmatch(text):
        spans = [span(part) for part in text.split(",")]
        if (last := max(numbers[-1] for numbers in spans)) >= n:
            raise UserError(f"{text}: there is no atom {last}; the molecule has {n}, counted from 0.")
        chosen = set[int]().union(*spans)
    else:
        chosen = matched(text, molecule)
    return np.isin(np.arange(n), sorted(chosen))


def span(part: str) -> range:
    """Return the numbers of 4 or 4-7."""
    first, _, last = part.partition("-")
    numbers = range(int(first), int(last or first) + 1)
    if not numbers:
        raise UserError(f"{part}: say the lower number first.")
    return numbers


def matched(text: str, molecule: Molecule) -> set[int]:
    """Return the atoms of all matches of a pattern."""
    with BlockLogs():
        pattern = Chem.MolFromSmarts(text)
    if pattern is None or not pattern.GetNumAtoms():
        raise UserError(f"{text}: say atoms by a SMARTS pattern, such as c1ccccc1, or by numbers, such as 0,1,4-7.")
    mol = perceive(molecule)
    if mol is None:
        raise UserError(f"{text}: RDKit sees no bonds in this molecule. Say atoms by numbers, such as 0,1,4-7.")
    found = {i for match in mol.GetSubstructMatches(pattern, maxMatches=10_000) for i in match}
    if not found:
        raise UserError(f"{text} matches no part of {Chem.MolToSmiles(Chem.RemoveHs(mol))}.")
    return found


def further(text: str, elements: Sequence[int]) -> tuple[int, dict[int, int] | None]:
    """Return how many atoms words name, and how many of each atomic number, None where that is open: 6, or C2H4."""
    open_ = re.fullmatch(r"[0-9]{1,9}", text)
    counts = None if open_ else dict(zip(elements, read_formula(text, symbols(elements)).values(), strict=True))
    count = int(text) if counts is None else sum(counts.values())
    if not count:
        raise UserError(f"--add {text}: say how many atoms to add, or which, such as 6 or C2H4.")
    return count, counts


def longer(molecule: Molecule, numbers: Sequence[int]) -> Molecule:
    """Return a molecule with further atoms behind its own, all in one place."""
    places = np.zeros((len(numbers), 3), np.float32)
    return Molecule(
        np.concatenate([molecule.numbers, np.array(numbers, np.uint8)]), np.concatenate([molecule.positions, places])
    )
