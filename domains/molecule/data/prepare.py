"""One molecule made ready, in a worker: from SMILES, from a record of a .sdf, or from atoms in places.

All that can be refused is refused before anything takes time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDetermineBonds
from rdkit.Chem.MolStandardize import rdMolStandardize
from rdkit.rdBase import BlockLogs

from polydiff.domains.molecule.chemistry.geometry import (
    SECONDS,
    Molecule,
    Rejected,
    atomic_numbers,
    embedded,
    graph_smiles,
    positions,
)
from polydiff.domains.molecule.chemistry.perceive import cloud, perceive
from polydiff.domains.molecule.chemistry.properties import PROPERTIES, measure
from polydiff.domains.molecule.data.library import Entry

LETTERS = 100
"""Letters of SMILES for each atom that is allowed, above which a text is not read."""


class Item(NamedTuple):
    """What stands at one place of a data set.

    Attributes:
        name: Which place: "line 17".
        kind: A key of `READ`.
        text: What stands there.
        columns: What is said of it beside.
    """

    name: str
    kind: str
    text: str
    columns: Mapping[str, str] = {}


class Wanted(NamedTuple):
    """What molecules are wanted.

    Attributes:
        elements: Symbols; none: all.
        max_atoms: With hydrogens.
        conformers: Most geometries, where they are computed.
        add_hydrogens: Whether hydrogens that a record lacks are added.
        seconds: Time for one.
        compute: Whether geometries are computed; otherwise, to look at data quickly, one of zeros stands for them.
    """

    elements: tuple[str, ...] = ()
    max_atoms: int = 60
    conformers: int = 3
    add_hydrogens: bool = False
    seconds: float = SECONDS
    compute: bool = True


def prepare(item: Item, wanted: Wanted) -> Entry | Rejected:
    """Return the molecule of a place, or why it is left out."""
    try:
        with BlockLogs():
            return READ[item.kind](item.text, wanted)
    except Rejected as reason:
        return reason
    except (ValueError, RuntimeError) as error:
        return Rejected(f"RDKit fails at it ({type(error).__name__})")


def from_smiles(text: str, wanted: Wanted) -> Entry:
    """Return the largest fragment of what SMILES say, uncharged where that is possible, with computed geometries."""
    if not text:
        raise Rejected("its SMILES is empty")
    if len(text) > LETTERS * wanted.max_atoms:
        raise Rejected(too_many(wanted))
    mol = Chem.MolFromSmiles(text)
    if mol is None:
        raise Rejected("RDKit does not understand its SMILES")
    return computed(mol, wanted)


def computed(mol: Any, wanted: Wanted) -> Entry:
    """Return the largest fragment of a molecule, uncharged where that is possible, with computed geometries."""
    if mol.GetNumAtoms() == 0:
        raise Rejected("it has no atoms")
    largest = max(Chem.GetMolFrags(mol, asMols=True), key=lambda part: part.GetNumHeavyAtoms())
    if largest.GetNumHeavyAtoms() > wanted.max_atoms:
        raise Rejected(too_many(wanted))
    plain = Chem.RemoveHs(rdMolStandardize.Uncharger().uncharge(unmarked(largest)))
    check(Chem.AddHs(plain), wanted)
    smiles = Chem.MolToSmiles(plain)
    if not wanted.compute:
        whole = Chem.AddHs(plain)
        nowhere = np.zeros((whole.GetNumAtoms(), 3), np.float32)
        return Entry(graph_smiles(plain), atomic_numbers(whole), [nowhere], [unknown_properties()], smiles)
    return entry_of(embedded(smiles, wanted.conformers, wanted.seconds))._replace(source=smiles)


def unmarked(mol: Any) -> Any:
    """Return a molecule without isotopes and numbers of atoms, which have no place in a geometry."""
    for atom in mol.GetAtoms():
        atom.SetIsotope(0)
        atom.SetAtomMapNum(0)
    return mol


def entry_of(mol: Any) -> Entry:
    """Return the entry of RDKit's molecule, with hydrogens and conformers."""
    ids = [conformer.GetId() for conformer in mol.GetConformers()]
    measured = [measure(mol, list(PROPERTIES), i) for i in ids]
    return Entry(graph_smiles(mol), atomic_numbers(mol), positions(mol), measured)


def unknown_properties() -> list[float]:
    """Return properties of which none is known."""
    return [math.nan] * len(PROPERTIES)


def check(mol: Any, wanted: Wanted) -> None:
    """Refuse a molecule, with hydrogens, that is not wanted or cannot be used."""
    check_atoms(atomic_numbers(mol).tolist(), wanted)
    if sum(atom.GetFormalCharge() for atom in mol.GetAtoms()):
        raise Rejected("it is charged")
    if any(atom.GetNumRadicalElectrons() for atom in mol.GetAtoms()):
        raise Rejected("it is a radical")


def check_atoms(numbers: Sequence[int], wanted: Wanted) -> None:
    """Refuse atoms that are none, too many, or of elements that are not wanted."""
    if not numbers:
        raise Rejected("it has no atoms")
    if len(numbers) > wanted.max_atoms:
        raise Rejected(too_many(wanted))
    if 0 in numbers:
        raise Rejected("an atom of it has no element")
    symbols = map(Chem.GetPeriodicTable().GetElementSymbol, sorted(set(numbers)))
    if wanted.elements and (others := [symbol for symbol in symbols if symbol not in wanted.elements]):
        raise Rejected(f"it holds {others[0]}, which data.elements does not name")


def too_many(wanted: Wanted) -> str:
    """Return the reason that leaves out the large."""
    return f"it has more than data.max_atoms={wanted.max_atoms} atoms"


def from_record(text: str, wanted: Wanted) -> Entry:
    """Return the molecule of a record as it is where it has positions, and otherwise with computed ones."""
    mol = Chem.MolFromMolBlock(text, removeHs=False)
    if mol is None:
        raise Rejected("RDKit does not understand its record")
    if not has_places(mol):
        return computed(mol, wanted)
    check_lines(text, mol.GetNumAtoms())
    check_atoms(atomic_numbers(mol).tolist(), wanted)
    if len(Chem.GetMolFrags(mol)) > 1:
        raise Rejected("it is in several pieces")
    check_places(mol.GetConformer().GetPositions())
    if any(atom.GetTotalNumHs() for atom in mol.GetAtoms()):
        if not wanted.add_hydrogens:
            raise Rejected("it lacks hydrogens, which data.add_hydrogens=true adds")
        mol = Chem.AddHs(mol, addCoords=True)
    check(mol, wanted)
    return entry_of(unmarked(mol))


def has_places(mol: Any) -> bool:
    """Return whether atoms are in space: not in a drawing, and not all in one place, which stands for nowhere."""
    places = mol.GetConformer().GetPositions()
    return bool(mol.GetConformer().Is3D()) and not (len(places) > 1 and (places == places[0]).all())


def check_lines(text: str, atoms: int) -> None:
    """Refuse a record that leaves a coordinate blank, which RDKit reads as 0."""
    _, _, _, counts, *lines = text.split("\n")
    if "V3000" not in counts and any(not line[i : i + 10].strip() for line in lines[:atoms] for i in (0, 10, 20)):
        raise Rejected("a position of it is missing")


def check_places(places: np.ndarray) -> None:
    """Refuse positions (N, 3) that no molecule has."""
    if not np.isfinite(places).all():
        raise Rejected("a position of it is no finite number")
    gaps = np.linalg.norm(places[:, None] - places, axis=-1)[np.triu_indices(len(places), 1)]
    if not (gaps > 0.1).all():
        raise Rejected("two atoms of it are in one place")


def from_atoms(text: str, wanted: Wanted) -> Entry:
    """Return the molecule of a number of atoms and as many lines such as "C 0.0 1.2 -3.4", in Å.

    Bonds are those that RDKit sees in it, if any.
    """
    count, *lines = text.splitlines()
    if not count.strip().isdigit():
        raise Rejected("it does not begin with a number of atoms")
    if int(count) > wanted.max_atoms:
        raise Rejected(too_many(wanted))
    if len(lines) < int(count):
        raise Rejected("it is cut off")
    atoms = [atom_of(line) for line in lines[: int(count)]]
    check_atoms([number for number, _ in atoms], wanted)
    places = np.array([place for _, place in atoms])
    check_places(places)
    molecule = Molecule(np.array([number for number, _ in atoms], np.uint8), places.astype(np.float32))
    return of_places(molecule, perceive(molecule))


def atom_of(line: str) -> tuple[int, list[float]]:
    """Return the atomic number and the place of a line of an .xyz; what stands behind them is not read."""
    symbol, *rest = line.split()
    try:
        number = int(symbol) if symbol.isdigit() else Chem.GetPeriodicTable().GetAtomicNumber(symbol.capitalize())
        place = [float(word.replace("*^", "e")) for word in rest[:3]]
    except (ValueError, RuntimeError):
        number, place = 0, []
    if len(place) < 3 or not 0 < number < 119:
        raise Rejected('a line of it is not "element x y z"')
    return number, place


def of_places(molecule: Molecule, mol: Any) -> Entry:
    """Return the entry of atoms in places and of RDKit's molecule of them, None where there is none."""
    if mol is None:
        return Entry(touching(molecule), molecule.numbers, [molecule.positions], [unknown_properties()])
    return Entry(graph_smiles(mol), molecule.numbers, [molecule.positions], [measure(mol, list(PROPERTIES))])


def touching(molecule: Molecule) -> str:
    """Return the SMILES of which atoms touch: it tells molecules apart where nothing is known of bonds."""
    mol = cloud(molecule)
    rdDetermineBonds.DetermineConnectivity(mol)
    smiles: str = Chem.MolToSmiles(mol)
    return smiles


def from_gdb9(text: str, wanted: Wanted) -> Entry:
    """Return a molecule of QM9: its atoms and their places count; its bonds where they make a neutral molecule.

    Bonds and charges of gdb9.sdf are wrong for some, which then have the bonds that RDKit sees, or none.
    """
    mol = Chem.MolFromMolBlock(text, removeHs=False, sanitize=False)
    if mol is None:
        raise Rejected("RDKit does not understand its record")
    check_lines(text, mol.GetNumAtoms())
    numbers, places = atomic_numbers(mol), mol.GetConformer().GetPositions()
    check_atoms(numbers.tolist(), wanted)
    check_places(places)
    molecule = Molecule(numbers, places.astype(np.float32))
    return of_places(molecule, mol if sound(mol) else perceive(molecule))


def sound(mol: Any) -> bool:
    """Return whether a molecule can be sanitised, which is done, and has no charge, radical or further piece."""
    try:
        Chem.SanitizeMol(mol)
        check(mol, Wanted(max_atoms=mol.GetNumAtoms()))
    except (ValueError, Rejected):
        return False
    return len(Chem.GetMolFrags(mol)) == 1 and not any(atom.GetTotalNumHs() for atom in mol.GetAtoms())


def refuse(text: str, _: Wanted) -> Entry:
    """Refuse what is known not to be wanted."""
    raise Rejected(text)


READ: Mapping[str, Callable[[str, Wanted], Entry]] = {
    "smiles": from_smiles,
    "record": from_record,
    "atoms": from_atoms,
    "gdb9": from_gdb9,
    "refused": refuse,
}
"""Kind of text -> what reads it."""
