"""Where molecules come from and how they are kept.

Geometries take time to compute, so they are kept in the cache: one folder a data set, its name a hash of all that they
follow from, with a manifest that says what that is and the hash of the arrays. A folder that does not agree with its
manifest is computed again. Folders appear whole or not at all, so preparations may be stopped, or run side by side.
"""

from __future__ import annotations

import io
import json
import re
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rdkit
from rdkit import Chem, RDConfig

from polydiff.contract.quarantine import Quarantine
from polydiff.domains.molecule.chemistry.composition import COMPOSITION, FORMULA, symbols
from polydiff.domains.molecule.chemistry.geometry import SEED, Rejected
from polydiff.domains.molecule.chemistry.properties import PROPERTIES
from polydiff.domains.molecule.chemistry.sizes import ATOMS
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data import qm9
from polydiff.domains.molecule.data.files import digest_of, items, kind_of, molecule_files, places_in, smi_items
from polydiff.domains.molecule.data.library import Found, Library, digest, stack
from polydiff.domains.molecule.data.prepare import Item, Wanted, prepare
from polydiff.domains.molecule.data.resume import Draft, forget
from polydiff.domains.molecule.workers.pool import in_processes
from polydiff.domains.molecule.workers.worker import TimedOut
from polydiff.support.errors import UserError, unknown
from polydiff.support.files import cache_dir, folder_atomic

FORM = 2
"""Version of what is kept in the cache."""
ARRAYS = ("numbers", "positions", "first", "properties", "places", "sides")
FACTS = ("names", "found", "rejected", "named")


class Source(NamedTuple):
    """Where a data set comes from.

    Attributes:
        name: What it is called.
        key: All that its geometries follow from, but for the options.
        items: Gives what stands at its places.
        total: About how many there are, None where that is not known before.
    """

    name: str
    key: Mapping[str, Any]
    items: Callable[[], Iterable[Item]]
    total: int | None = None


def open_library(data: MoleculeData) -> Library:
    """Return the molecules that a configuration names, from the cache where they are there."""
    source = source_of(data)
    library = cached(key_of(source, data), partial(prepared, source, wanted_by(data)))
    if data.name != "organic" or not len(library):
        report(library, source.name)
    check_conditions(data, library, source.name)
    return library


def known_library(data: MoleculeData) -> Library:
    """Return the molecules that a configuration names; with 0 for positions that would take time to compute."""
    source = source_of(data)
    known = recall(folder_of(key_of(source, data)))
    return known or prepared(source, wanted_by(data)._replace(compute=False))


def key_of(source: Source, data: MoleculeData) -> dict[str, Any]:
    """Return all that a library follows from."""
    versions = {"form": FORM, "rdkit": rdkit.__version__, "seed": SEED, "properties": list(PROPERTIES)}
    name = re.sub(r"\W", "-", Path(source.name).name)[:40]
    return {**versions, "name": name, **source.key, **wanted_by(data)._asdict()}


def check_conditions(data: MoleculeData, library: Library, source: str) -> None:
    """Refuse conditions of which a data set says nothing; that it says nothing of any molecule is worth a warning."""
    names = (*library.names, COMPOSITION)
    taken = taken_names(data, library)
    for name in data.conditions:
        if name not in names:
            raise unknown("condition", name, names, f"Those are what is known of {source}.")
        if name in taken:
            raise UserError(
                f"{source} has a column {name}, which cannot be a condition: {name} is {taken[name]}. Give the column "
                "another name."
            )
        if name in library.names and np.isnan(library.column(name)).all():
            warnings.warn(
                f"{name} is known of no molecule in {source}, so none can be asked for by it; data.conditions=[] asks "
                "for none.",
                stacklevel=2,
            )


def taken_names(data: MoleculeData, library: Library) -> dict[str, str]:
    """Return what else names mean that are asked for, or written of each sample, whatever columns there are."""
    counted = COMPOSITION in data.conditions or data.types == "given"
    elements = symbols(np.unique(library.numbers).tolist()) if counted else ()
    return {
        **dict.fromkeys(elements, "asked for as a number of atoms"),
        **dict.fromkeys((ATOMS, FORMULA), "asked for as it is"),
        **dict.fromkeys(("file", "smiles", "valid"), "told of each sample as it is"),
    }


def wanted_by(data: MoleculeData) -> Wanted:
    """Return which molecules a configuration wants."""
    if data.name == "organic":
        return Wanted(conformers=data.conformers, seconds=data.seconds)
    table = Chem.GetPeriodicTable()
    known = [table.GetElementSymbol(number) for number in range(1, 119)]
    for symbol in data.elements:
        if symbol not in known:
            raise UserError(f"data.elements names {symbol!r}, which is no element; write [H, C, N, O].")
    return Wanted(data.elements, data.max_atoms, data.conformers, data.add_hydrogens, data.seconds)


def source_of(data: MoleculeData) -> Source:
    """Return where the molecules of a configuration come from."""
    if data.name == "organic":
        smiles = universe(data.max_heavy)
        made = [Item(one, "smiles", one) for one in smiles]
        return Source(
            f"organic-{data.max_heavy}", {"molecules": digest("\n".join(smiles).encode())}, lambda: made, len(made)
        )
    if data.name == "nci":
        path = nci_file()
        return Source("nci", {"files": digest_of([path])}, lambda: smi_items(path, data), places_in([path]))
    assert data.path is not None
    folder = qm9.folder_of(data.path)
    if folder is not None:
        return Source(
            str(data.path),
            {"qm9": digest_of(qm9.check_folder(folder))},
            lambda: qm9.items(folder),
            places_in([folder / qm9.SDF]),
        )
    if data.name == "qm9":
        raise UserError(f"data.path={data.path} is no folder that holds {qm9.SDF}, {qm9.TABLE} and {qm9.LIST}.")
    files, root = molecule_files(data.path), data.path
    names = [f"{path.relative_to(root).as_posix()} {kind_of(path)}" for path in files]
    key = {"files": digest_of(files), "names": digest("\n".join(names).encode()), "column": data.column}
    return Source(str(data.path), key, lambda: items(files, root, data), places_in(files))


def nci_file() -> Path:
    """Return the file of molecules of the National Cancer Institute that comes with RDKit."""
    path = Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi"
    if not path.is_file():
        raise UserError(f"data.name=nci is a file that comes with RDKit, and this RDKit has none: {path}.")
    return path


def prepared(source: Source, wanted: Wanted, folder: Path | None = None) -> Library:
    """Return the library of a source, made in worker processes; one for a folder of the cache goes on where it was."""
    changed = list[int]()

    def noted() -> Iterator[Found]:
        for number, one in enumerate(places(source, wanted, Draft(folder))):
            if isinstance(one.entry, Rejected) and str(one.entry) == qm9.CHANGED:
                changed.append(number)
            yield one

    library = stack(noted())
    return qm9.divided(library, changed) if "qm9" in source.key else library


def places(source: Source, wanted: Wanted, draft: Draft) -> Iterator[Found]:
    """Yield what is found at the places of a source: what is known of them before, then what workers make of them."""
    everything, taken = iter(source.items()), deque[Item]()
    for entry, item in zip(draft.known, everything, strict=False):
        yield Found(item.name, entry, item.columns)

    def given() -> Iterator[Item]:
        for item in everything:
            taken.append(item._replace(text=""))
            yield item

    done = len(draft.known)
    what = f"{source.name}: molecules" + (f" after {done}" if done else "")
    total = None if source.total is None else max(source.total - done, 1)
    for one in in_processes(partial(prepare, wanted=wanted), given(), what, seconds=wanted.seconds, total=total):
        entry = Rejected(one.reason) if isinstance(one, TimedOut) else one
        draft.add(entry)
        item = taken.popleft()
        yield Found(item.name, entry, item.columns)


def universe(max_heavy: int) -> list[str]:
    """Return the SMILES of all organic molecules up to so many heavy atoms, of the list that is shipped."""
    text = resources.files(__package__).joinpath("organic.smi").read_text(encoding="utf-8")
    pairs = (line.split() for line in text.splitlines())
    return [smiles for smiles, heavy in pairs if int(heavy) <= max_heavy]


def report(library: Library, source: str) -> None:
    """Say what was left out of a data set and why; one of which nothing is left is an error."""
    reasons = "; ".join(reasons_of(library))
    if not len(library):
        raise UserError(f"{source} holds no molecule that can be used. {reasons or 'It is empty'}.")
    if reasons:
        warnings.warn(
            f"{source}: {library.used} of {library.found} molecules are used. Molecules left out: {reasons}.",
            stacklevel=2,
        )


def quarantine_of(library: Library, place: str) -> Quarantine:
    """Return what was found in a data set and what of it is left out, for `polydiff.contract.quarantine`."""
    notes = {reason.split(" (")[0]: reason for reason in reasons_of(library)}
    return Quarantine(place, "molecules", library.found, sum(library.rejected.values()), notes=notes)


def reasons_of(library: Library) -> list[str]:
    """Return why molecules are left out, each reason with their number and where the first of them stand."""
    ordered = sorted(library.rejected.items(), key=lambda pair: (-pair[1], pair[0]))
    return [
        f"{count}: {reason} ({', '.join(library.named[reason])}{', ...' if count > len(library.named[reason]) else ''})"
        for reason, count in ordered
    ]


def cached(key: Mapping[str, Any], build: Callable[[Path], Library]) -> Library:
    """Return the library of a key, from the cache or built and put there."""
    folder = folder_of(key)
    known = recall(folder)
    if known is None:
        known = build(folder)
        try:
            write(folder, known, key)
            forget(folder)
        except OSError as error:
            if recall(folder) is None:  # nobody else wrote it at the same time
                warnings.warn(
                    f"{folder} cannot be written ({error.strerror}), so it is computed again each time. POLYDIFF_CACHE "
                    "names another folder.",
                    stacklevel=2,
                )
    return known


def folder_of(key: Mapping[str, Any]) -> Path:
    """Return where the library of a key is kept."""
    return cache_dir() / "molecule" / f"{key['name']}-{digest(json.dumps(key, sort_keys=True).encode())[:16]}"


def write(folder: Path, library: Library, key: Mapping[str, Any]) -> None:
    """Keep a library: its arrays, and the manifest."""
    buffer = io.BytesIO()
    arrays = {name: getattr(library, name) for name in ARRAYS}
    np.savez(buffer, smiles=np.frombuffer("\n".join(library.smiles).encode(), np.uint8), **arrays)
    facts = {name: getattr(library, name) for name in FACTS}
    manifest = {**key, **facts, "sha256": digest(buffer.getvalue())}
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
        known = {name: arrays[name] for name in ARRAYS} | {name: manifest[name] for name in FACTS}
    return Library(smiles=smiles.split("\n") if smiles else [], **known | {"names": tuple(manifest["names"])})
