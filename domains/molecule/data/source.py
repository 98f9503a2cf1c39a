"""Sources of molecules: the shipped enumeration, the NCI file of RDKit, QM9, and a user's own files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import rdkit
from rdkit import Chem, RDConfig

from polydiff.domains.molecule.chemistry.geometry import SEED
from polydiff.domains.molecule.chemistry.properties import PROPERTIES
from polydiff.domains.molecule.config import SPATIAL, MoleculeData
from polydiff.domains.molecule.data import qm9
from polydiff.domains.molecule.data.files import check_text, count_items, digest_of, items, molecule_files, splits_of
from polydiff.domains.molecule.data.filters import Selection
from polydiff.domains.molecule.data.formats.tables import smi_items
from polydiff.domains.molecule.data.formats.text_files import kind_of
from polydiff.domains.molecule.data.library import digest
from polydiff.domains.molecule.data.preparation.cache import FORMAT_VERSION
from polydiff.domains.molecule.data.preparation.prepare import Item
from polydiff.support.errors import UserError


class Source(NamedTuple):
    """A source of molecules.

    Attributes:
        name: Its name in messages.
        key: Everything that its geometries depend on except the options, as JSON values.
        items: Yields its items: records, lines or frames.
        total: Approximate number of items; None if it is unknown before they are read.
    """

    name: str
    key: Mapping[str, Any]
    items: Callable[[], Iterable[Item]]
    total: int | None = None


def source_of(data: MoleculeData) -> Source:
    """Return the source that a configuration names.

    Raises:
        UserError: A file is missing, or the folder is not QM9's.
    """
    if data.name == "organic":
        smiles = enumerated_molecules(data.max_heavy)
        listed = [Item(one, "smiles", one) for one in smiles]
        key = {"molecules": digest("\n".join(smiles).encode())}
        return Source(f"organic-{data.max_heavy}", key, lambda: listed, len(listed))
    if data.name == "nci":
        path = nci_file()
        return Source("nci", {"files": digest_of([path])}, lambda: smi_items(path, data), count_items([path]))
    assert data.path is not None
    folder = qm9.folder_of(data.path)
    if folder is not None:
        key = {"qm9": digest_of(qm9.check_folder(folder))}
        return Source(str(data.path), key, lambda: qm9.items(folder), count_items([folder / qm9.SDF]))
    if data.name == "qm9":
        raise UserError(f"data.path={data.path} is not a folder that contains {qm9.SDF}, {qm9.TABLE} and {qm9.LIST}.")
    files, root = molecule_files(data.path), data.path
    check_text(files)
    names = [f"{path.relative_to(root).as_posix()} {kind_of(path)}" for path in files]
    key = {"files": digest_of(files), "names": digest("\n".join(names).encode()), "column": data.column}
    key["splits"] = "by the column split, then by folders" if splits_of(files, root) else "by the column split"
    return Source(str(data.path), key, lambda: items(files, root, data), count_items(files))


def selection_of(data: MoleculeData) -> Selection:
    """Return which molecules a configuration selects."""
    named = tuple(name for name in data.conditions if name in PROPERTIES and name not in SPATIAL)
    graph = None if data.positions else named
    if data.name == "organic":
        return Selection(conformers=data.conformers, seconds=data.seconds, graph=graph)
    table = Chem.GetPeriodicTable()
    known = [table.GetElementSymbol(number) for number in range(1, 119)]
    for symbol in data.elements:
        if symbol not in known:
            raise UserError(f"data.elements contains {symbol!r}, which is not an element. An example is [H, C, N, O].")
    return Selection(data.elements, data.max_atoms, data.conformers, data.add_hydrogens, data.seconds, graph=graph)


def cache_key(source: Source, data: MoleculeData) -> dict[str, Any]:
    """Return everything that the library of a source depends on, as JSON values."""
    versions = {"form": FORMAT_VERSION, "rdkit": rdkit.__version__, "seed": SEED, "properties": list(PROPERTIES)}
    name = re.sub(r"\W", "-", Path(source.name).name)[:40]
    return {**versions, "name": name, **source.key, **selection_of(data)._asdict()}


def nci_file() -> Path:
    """Return the path of RDKit's file of molecules of the National Cancer Institute."""
    path = Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi"
    if not path.is_file():
        raise UserError(f"data.name=nci needs a file of RDKit that this installation lacks: {path}.")
    return path


def enumerated_molecules(max_heavy: int) -> list[str]:
    """Return the SMILES of all molecules with up to `max_heavy` heavy atoms from the shipped enumeration."""
    text = resources.files(__package__).joinpath("organic.smi").read_text(encoding="utf-8")
    pairs = (line.split() for line in text.splitlines())
    return [smiles for smiles, heavy in pairs if int(heavy) <= max_heavy]
