"""What a folder or file of molecules holds, for `polydiff data check`: read in full, geometries not computed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem

from polydiff.contract.abilities import Inspection
from polydiff.domains.molecule.chemistry.composition import COMPOSITION
from polydiff.domains.molecule.chemistry.properties import PROPERTIES
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data.files import WRITTEN, kind_of, molecule_files
from polydiff.domains.molecule.data.library import Library, split
from polydiff.domains.molecule.data.prepare import Item, prepare
from polydiff.domains.molecule.data.qm9 import folder_of
from polydiff.domains.molecule.data.source import check_conditions, known_library, quarantine_of, wanted_by
from polydiff.domains.molecule.workers.pool import in_processes
from polydiff.support.errors import UserError
from polydiff.support.files import files_under

TRIED = 16
"""Molecules of which geometries are computed to tell how long all will take."""
QUANTILES = {"least": 0.0, "5 %": 0.05, "half": 0.5, "95 %": 0.95, "greatest": 1.0}


def inspect_molecules(data: MoleculeData, said: Collection[str]) -> Inspection:
    """Return what `data` holds; `said` are the keys that the user gave."""
    found = Inspection()
    assert data.path is not None
    try:
        if folder_of(data.path) is None:
            read = molecule_files(data.path)
            found.facts["files"] = kinds(read)
            if passed := passed_over(data.path, read):
                found.facts["files not read"] = kinds(passed)
        library = known_library(data)
        found.quarantine = quarantine_of(library, str(data.path))
        found.advice = advised(library, data, said)
        if not len(library):
            raise UserError(f"{data.path} holds no molecule that can be used.")
        found.facts |= facts_of(library, data)
        found.facts["sides"] = sides(library, data)
        check_conditions(data.model_copy(update=plain(found.advice)), library, str(data.path))
    except UserError as error:
        found.problems.append(str(error))
    return found


def kinds(files: Iterable[Path]) -> dict[str, int]:
    """Return how many files there are of each kind."""
    return dict(Counter(map(kind_of, files)).most_common())


def passed_over(path: Path, read: Collection[Path]) -> list[Path]:
    """Return the files without positions that are not read since others of the folder have some."""
    beside = [] if path.is_file() else files_under(path, {*WRITTEN, ".gz"})
    return [file for file in beside if kind_of(file) in WRITTEN and file not in read]


def plain(advice: dict[str, Any]) -> dict[str, Any]:
    """Return advice with the names of `MoleculeData`."""
    return {key.removeprefix("data."): value for key, value in advice.items()}


def facts_of(library: Library, data: MoleculeData) -> dict[str, Any]:
    """Return what is known of molecules before their geometries are computed."""
    owner = np.repeat(np.arange(len(library)), library.sizes)
    nowhere = np.bincount(owner, np.abs(library.positions).sum(1)) == 0
    nowhere &= library.sizes > 1
    facts: dict[str, Any] = {
        "molecules": len(set(library.smiles)),
        "geometries": {"given or known": int((~nowhere).sum()), "to be computed": int(nowhere.sum())},
        "atoms": quantiles(library.sizes),
        "molecules with": elements(library, owner),
        **{f"column {name}": told(library.column(name)) for name in library.names if name not in PROPERTIES},
    }
    if nowhere.any():
        facts["minutes to compute"] = minutes([library.smiles[i] for i in np.flatnonzero(nowhere).tolist()], data)
    return facts


def sides(library: Library, data: MoleculeData) -> dict[str, int]:
    """Return how many of what can be used is trained on and held out."""
    parts = {name: part.used for name, part in split(library, data.test_share).items()}
    neither = library.used - sum(parts.values())
    return parts | ({"neither": neither} if neither else {})


def elements(library: Library, owner: np.ndarray) -> dict[str, int]:
    """Return how many geometries hold each element, by atomic number."""
    table = Chem.GetPeriodicTable()
    pairs = np.unique(np.stack([owner, library.numbers]), axis=1)
    numbers, counts = np.unique(pairs[1], return_counts=True)
    return {table.GetElementSymbol(int(z)): int(n) for z, n in zip(numbers, counts, strict=True)}


def told(values: np.ndarray) -> dict[str, float]:
    """Return what a column of numbers holds."""
    known = values[~np.isnan(values)]
    missing = {} if len(known) == len(values) else {"missing": len(values) - len(known)}
    return {name: value for name, value in quantiles(known).items() if "%" not in name} | missing


def quantiles(values: np.ndarray) -> dict[str, float]:
    """Return the least, the greatest, and some between."""
    return {name: float(f"{np.quantile(values, q):.4g}") for name, q in QUANTILES.items()}


def minutes(smiles: Sequence[str], data: MoleculeData) -> float:
    """Return how long it takes here to compute the geometries of molecules, from some of them."""
    chosen = [smiles[i * len(smiles) // min(TRIED, len(smiles))] for i in range(min(TRIED, len(smiles)))]
    work = partial(prepare, wanted=wanted_by(data))
    tried = [Item("", "smiles", text) for text in chosen]
    list(in_processes(work, tried[:1], "one molecule", seconds=data.seconds))  # workers start once
    began = time.monotonic()
    list(in_processes(work, tried, "some molecules", seconds=data.seconds))
    return float(f"{(time.monotonic() - began) / len(tried) * len(smiles) / 60:.2g}")


def advised(library: Library, data: MoleculeData, said: Collection[str]) -> dict[str, Any]:
    """Return keys that suit the molecules, but for those that were said."""
    advice: dict[str, Any] = {}
    if any("data.add_hydrogens" in reason for reason in library.rejected):
        advice["data.add_hydrogens"] = True
    if len(library) and np.isnan(library.column("logp")).all() and np.abs(library.positions).any():
        known = [name for name in library.names if not np.isnan(library.column(name)).all()]
        advice["data.conditions"] = [name for name in data.conditions if name in (*known, COMPOSITION)]
    return {key: value for key, value in advice.items() if key not in said}
