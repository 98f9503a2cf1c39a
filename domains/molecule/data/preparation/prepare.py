"""Preparation of one molecule, in a worker process: from SMILES, a .sdf record, or atoms with positions.

The checks of `filters` run before any geometry is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from rdkit import Chem
from rdkit.Chem.MolStandardize import rdMolStandardize
from rdkit.rdBase import BlockLogs

from polydiff.domains.molecule.chemistry.geometry import (
    Molecule,
    Rejected,
    atomic_numbers,
    atoms_of,
    check_parameters,
    embed,
)
from polydiff.domains.molecule.chemistry.identity import molecule_key
from polydiff.domains.molecule.chemistry.perceive import (
    perceived_key,
)
from polydiff.domains.molecule.chemistry.properties import without_hydrogens
from polydiff.domains.molecule.data.filters import (
    Selection,
    check_atoms,
    check_bond_lengths,
    check_coordinates,
    check_molecule,
    check_one_piece,
    check_positions,
    has_positions,
    too_many,
)
from polydiff.domains.molecule.data.formats.frames import check_comment, parse_frame
from polydiff.domains.molecule.data.library import Entry
from polydiff.domains.molecule.data.preparation.entries import (
    entry_by_perception,
    entry_of,
    entry_with_bonds,
    neutral_perception,
    unknown_properties,
    with_bonds_of,
)
from polydiff.domains.molecule.graphs.entry import graph_entry

MAX_CHARACTERS_PER_ATOM = 100
"""Largest length of SMILES that is parsed, in characters per allowed atom."""
NO_SMILES = "RDKit does not understand its SMILES"
TITLE_FIRST = "its second word is a SMILES, but its first is not; the SMILES must come first"
"""Reasons that reject a line of SMILES."""
NO_GRAPH = "it has no bonds, which data.positions=false needs"
NEUTRAL = "its bonds need charged atoms, but those that RDKit perceives do not and replace them"
FLAT = 'it has z=0 and no dimension code, so it counts as a drawing; "3D" in columns 21-22 of its second line keeps it'
"""Remarks on molecules that are used."""


class Item(NamedTuple):
    """One record, line or frame of a data set, not yet parsed.

    Attributes:
        name: Its place, such as "line 17".
        kind: Kind of text, a key of `READERS`.
        text: The text itself.
        columns: Metadata of the molecule, name -> text.
        title: Second word of the line of a list of SMILES.
        texts: Metadata that are never numbers, name -> text; they replace columns of the same name as text.
        stated: Split that the data state (`polydiff.contract.data.splits`), or "".
    """

    name: str
    kind: str
    text: str
    columns: Mapping[str, str] = {}
    title: str = ""
    texts: Mapping[str, str] = {}
    stated: str = ""


def prepare(item: Item, selection: Selection) -> Entry | Rejected:
    """Return the molecule of an item, or the reason that rejects it."""
    try:
        with BlockLogs():
            entry = READERS[item.kind](item.text, selection)
            if not selection.compute or selection.graph is not None:
                return entry
            geometries = [Molecule(entry.numbers, r) for r in entry.positions]
            return entry._replace(perceived=[perceived_key(one) for one in geometries])
    except Rejected as reason:
        return Rejected(TITLE_FIRST) if str(reason) == NO_SMILES and is_smiles(item.title) else reason
    except (ValueError, RuntimeError) as error:
        return Rejected(f"RDKit fails on it ({type(error).__name__})")


def prepare_group(items: Sequence[Item], selection: Selection) -> list[Entry | Rejected]:
    """Return the molecules of items, or the reasons that reject them."""
    return [prepare(item, selection) for item in items]


def from_smiles(text: str, selection: Selection) -> Entry:
    """Return the largest fragment of a SMILES, neutralised if possible, with computed geometries."""
    if not text:
        raise Rejected("its SMILES is empty")
    if len(text) > MAX_CHARACTERS_PER_ATOM * selection.max_atoms:
        raise Rejected(too_many(selection))
    mol = Chem.MolFromSmiles(text)
    if mol is None:
        raise Rejected(NO_SMILES)
    return with_computed_geometries(mol, selection)


def is_smiles(text: str) -> bool:
    """Return whether RDKit reads a text as the SMILES of a molecule."""
    with BlockLogs():
        return bool(text) and len(text) < MAX_CHARACTERS_PER_ATOM and Chem.MolFromSmiles(text) is not None


def with_computed_geometries(mol: Any, selection: Selection) -> Entry:
    """Return the largest fragment of an RDKit molecule, neutralised if possible, with computed geometries."""
    if mol.GetNumAtoms() == 0:
        raise Rejected("it has no atoms")
    largest = largest_fragment(mol)
    if largest.GetNumHeavyAtoms() > selection.max_atoms:
        raise Rejected(too_many(selection))
    plain = without_hydrogens(uncharged(without_labels(largest)))
    if selection.graph is not None:
        return graph_entry(plain, selection)
    check_molecule(Chem.AddHs(plain), selection)
    smiles = Chem.MolToSmiles(plain)
    if not selection.compute:
        whole = Chem.AddHs(Chem.MolFromSmiles(smiles))
        check_parameters(whole)
        zeros = np.zeros((whole.GetNumAtoms(), 3), np.float32)
        plain_entry = Entry(molecule_key(plain), atomic_numbers(whole), [zeros], [unknown_properties()], smiles)
        return with_bonds_of(plain_entry, whole)
    return entry_of(embed(smiles, selection.conformers, selection.seconds))._replace(source=smiles)


def largest_fragment(mol: Any) -> Any:
    """Return the fragment of an RDKit molecule that has most atoms other than hydrogen."""
    if len(Chem.GetMolFrags(mol)) == 1:
        return mol
    return max(Chem.GetMolFrags(mol, asMols=True), key=lambda part: part.GetNumHeavyAtoms())


@cache
def uncharger() -> Any:
    """Return what neutralises molecules; it parses its patterns once."""
    return rdMolStandardize.Uncharger()


def uncharged(mol: Any) -> Any:
    """Return an RDKit molecule whose charges are neutralised if possible; itself if it has none."""
    charged = any(atom.GetFormalCharge() for atom in atoms_of(mol))
    return uncharger().uncharge(mol) if charged else mol


def without_labels(mol: Any) -> Any:
    """Remove isotopes and atom map numbers from a molecule, in place, and return it."""
    for atom in atoms_of(mol):
        atom.SetIsotope(0)
        atom.SetAtomMapNum(0)
    return mol


def from_record(text: str, selection: Selection) -> Entry:
    """Return the molecule of a .sdf record: with its own positions if it has them, else with computed geometries."""
    mol = Chem.MolFromMolBlock(text, removeHs=False)
    if mol is None:
        raise Rejected("RDKit does not understand its record")
    if not has_positions(mol) or selection.graph is not None:
        notes = [FLAT] if is_flat(mol, text) else []
        return with_computed_geometries(mol, selection)._replace(notes=notes)
    check_coordinates(text, mol.GetNumAtoms())
    check_atoms(atomic_numbers(mol).tolist(), selection)
    if len(Chem.GetMolFrags(mol)) > 1:
        raise Rejected("it is in several pieces")
    check_positions(mol.GetConformer().GetPositions())
    check_bond_lengths(mol)
    if any(atom.GetTotalNumHs() for atom in mol.GetAtoms()):
        if not selection.add_hydrogens:
            raise Rejected("it lacks hydrogens, which data.add_hydrogens=true adds")
        mol = Chem.AddHs(mol, addCoords=True)
    check_molecule(mol, selection)
    better = neutral_perception(mol)
    return entry_of(without_labels(mol)) if better is None else entry_of(better)._replace(notes=[NEUTRAL])


def is_flat(mol: Any, text: str) -> bool:
    """Return whether a record without a dimension code has all its hydrogens and the coordinate z = 0 throughout."""
    places = mol.GetConformer().GetPositions()
    flat = len(places) > 1 and not places[:, 2].any() and bool(places.any())
    complete = not any(atom.GetTotalNumHs() for atom in mol.GetAtoms())
    return flat and complete and text.split("\n")[1][20:22].upper() not in ("2D", "3D")


def from_atoms(text: str, selection: Selection) -> Entry:
    """Return the molecule of an .xyz frame: a number of atoms, a comment, and a line such as "C 0.0 1.2 -3.4" for each.

    Positions are in Å. If RDKit perceives no bonds, the properties are unknown.
    """
    if selection.graph is not None:
        raise Rejected(NO_GRAPH)
    count, comment, *lines = text.split("\n")
    if not count.strip().isdigit():
        raise Rejected("it does not start with a number of atoms")
    if int(count) > selection.max_atoms:
        raise Rejected(too_many(selection))
    if len(lines) < int(count):
        raise Rejected("it is truncated")
    check_comment(comment)
    molecule = parse_frame(comment, lines[: int(count)])
    check_atoms(molecule.numbers.tolist(), selection)
    check_positions(molecule.positions)
    return entry_by_perception(molecule)


def from_gdb9(text: str, selection: Selection) -> Entry:
    """Return a molecule of QM9 with its atoms and positions.

    Some bonds and charges of gdb9.sdf are wrong. If they do not form a valid neutral molecule, or form one with charged
    atoms where RDKit perceives one without, its perception replaces them. The properties are unknown if it finds none.
    """
    if selection.graph is not None:
        return from_record(text, selection)
    mol = Chem.MolFromMolBlock(text, removeHs=False, sanitize=False)
    if mol is None:
        raise Rejected("RDKit does not understand its record")
    check_coordinates(text, mol.GetNumAtoms())
    numbers, r = atomic_numbers(mol), mol.GetConformer().GetPositions()
    check_atoms(numbers.tolist(), selection)
    check_positions(r)
    if not sanitise(mol):
        return entry_by_perception(Molecule(numbers, r))
    check_one_piece(numbers, r)
    molecule, better = Molecule(numbers, r.astype(np.float32)), neutral_perception(mol)
    if better is None:
        return entry_with_bonds(molecule, mol)
    return entry_with_bonds(molecule, better)._replace(notes=[NEUTRAL])


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
