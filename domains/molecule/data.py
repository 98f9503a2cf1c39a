"""Where molecules come from, how they are kept, and which are held out.

Geometries take time to compute, so they are kept in the cache: one folder a data set, its name a hash of all that they
follow from, with a manifest that says what that is and the hash of the arrays. A folder that does not agree with its
manifest is computed again.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rdkit
from rdkit import Chem

from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.geometry import (
    SEED,
    Molecule,
    Rejected,
    atomic_numbers,
    embedded,
    positions,
)
from polydiff.domains.molecule.properties import PROPERTIES, measure
from polydiff.domains.molecule.workers import TimedOut, in_processes
from polydiff.errors import UserError
from polydiff.files import folder_atomic
from polydiff.paths import cache_dir

FORM = 1
"""Version of what is kept in the cache."""
ARRAYS = ("numbers", "positions", "first", "properties")


class Entry(NamedTuple):
    """One molecule with its geometries.

    Attributes:
        smiles: Canonical, without hydrogens and stereochemistry: what tells molecules apart.
        numbers: Atomic numbers (N,).
        positions: In Å, (N, 3) each.
        properties: Of each geometry, in the order of `PROPERTIES`.
    """

    smiles: str
    numbers: np.ndarray
    positions: Sequence[np.ndarray]
    properties: Sequence[Sequence[float]]

    @classmethod
    def of(cls, mol: Any) -> Entry:
        """Return the entry of RDKit's molecule, with hydrogens and conformers."""
        ids = [conformer.GetId() for conformer in mol.GetConformers()]
        return cls(
            graph_smiles(mol), atomic_numbers(mol), positions(mol), [measure(mol, list(PROPERTIES), i) for i in ids]
        )


def graph_smiles(mol: Any) -> str:
    """Return the canonical SMILES without hydrogens and stereochemistry."""
    smiles: str = Chem.MolToSmiles(Chem.RemoveHs(mol), isomericSmiles=False)
    return smiles


@dataclass(frozen=True)
class Library:
    """Geometries, stacked.

    Arguments:
        smiles: SMILES of each geometry's molecule, n of them.
        numbers: Atomic numbers of all geometries (M,).
        positions: In Å, (M, 3).
        first: Where each geometry begins in the two above, with M at the end (n + 1,).
        properties: (n, P), in the order of `PROPERTIES`.
        rejected: Reason -> number of molecules that were left out for it.
    """

    smiles: Sequence[str]
    numbers: np.ndarray
    positions: np.ndarray
    first: np.ndarray
    properties: np.ndarray
    rejected: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.smiles)

    def __getitem__(self, i: int) -> Molecule:
        atoms = slice(self.first[i], self.first[i + 1])
        return Molecule(self.numbers[atoms], self.positions[atoms])

    @property
    def sizes(self) -> np.ndarray:
        """Number of atoms of each geometry (n,)."""
        return np.diff(self.first)

    def take(self, chosen: Sequence[int]) -> Library:
        """Return these geometries."""
        atoms = np.concatenate([np.arange(self.first[i], self.first[i + 1]) for i in chosen] or [np.zeros(0, int)])
        first = np.concatenate([[0], np.cumsum(self.sizes[list(chosen)])]).astype(np.int64)
        smiles = [self.smiles[i] for i in chosen]
        properties = self.properties[list(chosen)]
        return Library(smiles, self.numbers[atoms], self.positions[atoms], first, properties, self.rejected)

    def column(self, name: str) -> np.ndarray:
        """Return a property of each geometry, in its unit (n,)."""
        values: np.ndarray = self.properties[:, list(PROPERTIES).index(name)]
        return values


def stack(entries: Iterable[Entry | Rejected]) -> Library:
    """Return the library of entries; what was rejected is counted by its reason."""
    smiles: list[str] = []
    numbers: list[np.ndarray] = [np.zeros(0, np.uint8)]
    places: list[np.ndarray] = [np.zeros((0, 3), np.float32)]
    properties: list[Sequence[float]] = []
    rejected: Counter[str] = Counter()
    for entry in entries:
        if isinstance(entry, Rejected):
            rejected[str(entry)] += 1
            continue
        smiles += [entry.smiles] * len(entry.positions)
        numbers += [entry.numbers] * len(entry.positions)
        places += entry.positions
        properties += entry.properties
    first = np.cumsum([len(part) for part in numbers]).astype(np.int64)
    table = np.array(properties, np.float32).reshape(-1, len(PROPERTIES))
    return Library(smiles, np.concatenate(numbers), np.concatenate(places), first, table, dict(rejected))


def compute(smiles: Sequence[str], conformers: int, what: str) -> Library:
    """Return the library of molecules given as SMILES, with computed geometries."""

    found = in_processes(partial(entry, most=conformers), smiles, f"{what}: geometries of molecules")
    return stack(Rejected(one.reason) if isinstance(one, TimedOut) else one for one in found)


def entry(text: str, most: int) -> Entry | Rejected:
    """Return a molecule with computed geometries, or why it has none."""
    try:
        return Entry.of(embedded(text, most))
    except Rejected as reason:
        return reason


def universe(max_heavy: int) -> list[str]:
    """Return the SMILES of all organic molecules up to so many heavy atoms, of the list that is shipped."""
    text = resources.files("polydiff.domains.molecule").joinpath("organic.smi").read_text(encoding="utf-8")
    pairs = (line.split() for line in text.splitlines())
    return [smiles for smiles, heavy in pairs if int(heavy) <= max_heavy]


def open_library(data: MoleculeData) -> Library:
    """Return the molecules that a configuration names, from the cache where they are there."""
    if data.name == "file":
        from polydiff.domains.molecule.files import file_key, read_file

        assert data.path is not None
        library = cached(file_key(data), lambda: read_file(data))
        report(library, str(data.path))
        return library
    smiles = universe(data.max_heavy)
    key = {"molecules": digest("\n".join(smiles).encode()), "conformers": data.conformers, "elements": "HCNOF"}
    return cached({"name": f"organic-{data.max_heavy}"} | key, lambda: compute(smiles, data.conformers, "organic"))


def report(library: Library, source: str) -> None:
    """Say what was left out of a file and why; a file of which nothing is left is an error."""
    reasons = "; ".join(f"{count}: {reason}" for reason, count in sorted(library.rejected.items()))
    if not len(library):
        raise UserError(f"{source} holds no molecule that can be used. {reasons or 'It is empty'}.")
    if reasons:
        warnings.warn(f"{source}: molecules left out: {reasons}.", stacklevel=2)


def cached(key: Mapping[str, Any], build: Any) -> Library:
    """Return the library of a key, from the cache or built and put there."""
    key = {"form": FORM, "rdkit": rdkit.__version__, "seed": SEED, "properties": list(PROPERTIES), **key}
    folder = cache_dir() / "molecule" / f"{key['name']}-{digest(json.dumps(key, sort_keys=True).encode())[:16]}"
    known = recall(folder)
    if known is None:
        known = build()
        write(folder, known, key)
    return known


def write(folder: Path, library: Library, key: Mapping[str, Any]) -> None:
    """Keep a library: its arrays, and the manifest."""
    buffer = io.BytesIO()
    arrays = {name: getattr(library, name) for name in ARRAYS}
    np.savez(buffer, smiles=np.frombuffer("\n".join(library.smiles).encode(), np.uint8), **arrays)
    manifest = {**key, "rejected": library.rejected, "sha256": digest(buffer.getvalue())}
    with folder_atomic(folder) as draft:
        (draft / "geometries.npz").write_bytes(buffer.getvalue())
        (draft / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def recall(folder: Path) -> Library | None:
    """Return the library that a folder keeps, None where there is none or it is damaged."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        data = (folder / "geometries.npz").read_bytes()
    except (OSError, ValueError):
        return None
    if manifest.get("sha256") != digest(data):
        return None
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        smiles = arrays["smiles"].tobytes().decode()
        known = {name: arrays[name] for name in ARRAYS}
    return Library(smiles.split("\n") if smiles else [], rejected=manifest["rejected"], **known)


def digest(data: bytes) -> str:
    """Return the SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def split(library: Library, share: float) -> dict[str, Library]:
    """Return {"train", "test"}: a molecule is held out with all its geometries, by a hash of its SMILES.

    So a molecule stays on its side when others are added. Each side has one molecule at least.
    """
    lots = [int(digest(smiles.encode())[:13], 16) / 16**13 for smiles in library.smiles]
    ordered = sorted(set(lots))
    if len(ordered) < 2:
        raise UserError("Two different molecules are needed at least: one to train on, one to hold out.")
    bound = min(max(share, ordered[1]), ordered[-1])
    train = [i for i, lot in enumerate(lots) if lot >= bound]
    return {"train": library.take(train), "test": library.take([i for i, lot in enumerate(lots) if lot < bound])}
