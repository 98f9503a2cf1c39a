"""Your own molecules: .sdf with or without positions, .smi, and .csv with a column of SMILES.

Positions in Å are taken from a .sdf that has them; otherwise they are computed, as for the embedded molecules. What
cannot be used is left out and counted by its reason.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem.MolStandardize import rdMolStandardize
from rdkit.rdBase import BlockLogs

from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data import Entry, Library, compute, digest, stack
from polydiff.domains.molecule.geometry import Rejected
from polydiff.errors import UserError, unknown

KINDS = (".sdf", ".smi", ".csv")
COUNTS = re.compile(r"\bV[23]000\s*$")
"""The end of a record's fourth line, which counts its atoms and bonds."""


def file_key(data: MoleculeData) -> dict[str, Any]:
    """Return all that the geometries of a file's molecules follow from."""
    path = checked_path(data)
    options = data.model_dump(mode="json", include={"conformers", "elements", "max_atoms", "column", "add_hydrogens"})
    return {
        "name": re.sub(r"\W", "-", path.stem)[:40],
        "kind": path.suffix.lower(),
        "file": digest(path.read_bytes()),
    } | options


def checked_path(data: MoleculeData) -> Path:
    """Return the file of a configuration, which must be there and of a known kind."""
    path = data.path
    assert path is not None
    if not path.is_file():
        raise UserError(f"data.path={path} is not a file; it must be one of {', '.join(KINDS)}.")
    if path.suffix.lower() not in KINDS:
        raise unknown("kind of molecule file", path.suffix, KINDS)
    return path


def read_file(data: MoleculeData) -> Library:
    """Return the molecules of a file."""
    path = checked_path(data)
    with BlockLogs():
        if path.suffix.lower() == ".sdf":
            return read_sdf(path, data)
        read = read_csv if path.suffix.lower() == ".csv" else read_smi
        chosen = [smiles_entry(text, data) for text in read(path, data)]
        rejected = [entry for entry in chosen if isinstance(entry, Rejected)]
        unique = list(dict.fromkeys(entry for entry in chosen if isinstance(entry, str)))
        return join(compute(unique, data.conformers, path.name), stack(rejected))


def join(library: Library, other: Library) -> Library:
    """Return two libraries as one."""
    rejected = {
        reason: library.rejected.get(reason, 0) + other.rejected.get(reason, 0)
        for reason in {*library.rejected, *other.rejected}
    }
    return Library(
        [*library.smiles, *other.smiles],
        np.concatenate([library.numbers, other.numbers]),
        np.concatenate([library.positions, other.positions]),
        np.concatenate([library.first, library.first[-1] + other.first[1:]]),
        np.concatenate([library.properties, other.properties]),
        rejected,
    )


def read_smi(path: Path, data: MoleculeData) -> list[str]:
    """Return the first word of each line; a first line that begins with "smiles" is a heading."""
    words = [
        line.split()[0] for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines() if line.strip()
    ]
    return words[1:] if words and words[0].lower() == "smiles" else words


def read_csv(path: Path, data: MoleculeData) -> list[str]:
    """Return the column of SMILES."""
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        rows = csv.DictReader(file)
        columns = {name.strip().lower(): name for name in rows.fieldnames or []}
        if data.column.lower() not in columns:
            raise unknown("column", data.column, columns, f"Say data.column=NAME for another column of {path}.")
        name = columns[data.column.lower()]
        return [(row[name] or "").strip() for row in rows]


def smiles_entry(text: str, data: MoleculeData) -> str | Rejected:
    """Return the canonical SMILES of the largest fragment of a line's molecule, uncharged where that is possible."""
    mol = Chem.MolFromSmiles(text) if text else None
    if mol is None:
        return Rejected("RDKit does not understand its SMILES")
    fragments = Chem.GetMolFrags(mol, asMols=True)
    largest = max(fragments, key=lambda part: part.GetNumHeavyAtoms())
    plain = rdMolStandardize.Uncharger().uncharge(largest)
    reason = refused(Chem.AddHs(plain), data)
    return Rejected(reason) if reason else Chem.MolToSmiles(plain)


def refused(mol: Any, data: MoleculeData) -> str:
    """Return why a molecule with hydrogens cannot be used, or ""."""
    atoms = list(mol.GetAtoms())
    others = {atom.GetSymbol() for atom in atoms} - set(data.elements)
    if not atoms:
        return "it has no atoms"
    if data.elements and others:
        return "it holds an element that data.elements does not name"
    if len(atoms) > data.max_atoms:
        return f"it has more than data.max_atoms={data.max_atoms} atoms"
    if any(atom.GetAtomicNum() == 0 for atom in atoms):
        return "an atom of it has no element"
    if sum(atom.GetFormalCharge() for atom in atoms):
        return "it is charged"
    if any(atom.GetNumRadicalElectrons() for atom in atoms):
        return "it is a radical"
    return ""


def read_sdf(path: Path, data: MoleculeData) -> Library:
    """Return the molecules of a .sdf: as they are where they have positions, and otherwise with computed ones."""
    entries = [sdf_entry(record, data) for record in records(path)]
    flat = [entry for entry in entries if isinstance(entry, str)]
    library = stack(entry for entry in entries if not isinstance(entry, str))
    return join(library, compute(list(dict.fromkeys(flat)), data.conformers, path.name)) if flat else library


def records(path: Path) -> Iterator[str]:
    """Yield the records of a .sdf; one that was cut off does not take the next with it."""
    lines: list[str] = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("$$$$"):
                yield from whole(lines)
                lines = []
            else:
                lines.append(line.rstrip("\r\n"))
    yield from whole(lines)


def whole(lines: Sequence[str]) -> Iterator[str]:
    """Yield the records in the lines between two separators: one, or more where a separator is missing."""
    starts = [max(i - 3, 0) for i, line in enumerate(lines) if COUNTS.search(line)]
    if not starts and any(line.strip() for line in lines):
        starts = [0]
    for start, stop in pairwise([*starts, len(lines)]):
        yield "\n".join(lines[start:stop])


def sdf_entry(record: str, data: MoleculeData) -> Entry | Rejected | str:
    """Return a record's molecule, the SMILES of one without positions, or why it cannot be used."""
    mol = Chem.MolFromMolBlock(record, removeHs=False)
    if mol is None:
        return Rejected("RDKit does not understand its record")
    if len(Chem.GetMolFrags(mol)) > 1:
        return Rejected("it is in several pieces")
    spatial = bool(mol.GetConformer().Is3D()) and spans_space(mol)
    if spatial and any(atom.GetTotalNumHs() for atom in mol.GetAtoms()):
        if not data.add_hydrogens:
            return Rejected("it lacks hydrogens, which data.add_hydrogens=true adds")
        mol = Chem.AddHs(mol, addCoords=True)
    reason = refused(mol if spatial else Chem.AddHs(mol), data)
    if reason:
        return Rejected(reason)
    return Entry.of(mol) if spatial else Chem.MolToSmiles(Chem.RemoveHs(mol))


def spans_space(mol: Any) -> bool:
    """Return whether positions are finite and no two atoms are in one place, as where all of them are missing."""
    places = mol.GetConformer().GetPositions()
    gaps = np.linalg.norm(places[:, None] - places, axis=-1)[np.triu_indices(len(places), 1)]
    return bool(np.isfinite(places).all()) and bool((gaps > 0.1).all())
