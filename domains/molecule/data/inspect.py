"""Summary of a file or folder of molecules for `polydiff data check`: read completely, without computing geometries."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import numpy as np
from rdkit import Chem

from polydiff.contract.abilities import Inspection
from polydiff.contract.data.columns import other_columns
from polydiff.contract.data.noise_range import range_facts
from polydiff.contract.sections.run import Config
from polydiff.domains.molecule.chemistry.composition import COMPOSITION
from polydiff.domains.molecule.chemistry.properties import PROPERTIES
from polydiff.domains.molecule.codec import codec_of, measured_statistics
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data.dataset import check_conditions, quarantine_of, quick_library, reserved_names
from polydiff.domains.molecule.data.described import described_columns, measure_described
from polydiff.domains.molecule.data.files import kinds, molecule_files, unread_files
from polydiff.domains.molecule.data.library import Library
from polydiff.domains.molecule.data.preparation.prepare import Item, prepare
from polydiff.domains.molecule.data.qm9 import folder_of
from polydiff.domains.molecule.data.source import selection_of
from polydiff.domains.molecule.principal import principal_std
from polydiff.domains.molecule.splits import split
from polydiff.domains.molecule.workers.pool import in_processes
from polydiff.support.errors import UserError

TIMED_MOLECULES = 16
"""Number of molecules whose geometries are computed to estimate the time for all."""
QUANTILES = {"least": 0.0, "5 %": 0.05, "half": 0.5, "95 %": 0.95, "greatest": 1.0}


def inspect_molecules(config: Config, set_keys: Collection[str]) -> Inspection:
    """Return facts, problems and advice for the molecules of a configuration.

    Arguments:
        config: The configuration, with a path.
        set_keys: Keys that the user has set, for which no advice is given.
    """
    data, found = config.data, Inspection()
    assert isinstance(data, MoleculeData)
    assert data.path is not None
    try:
        if folder_of(data.path) is None:
            read = molecule_files(data.path)
            found.facts["files"] = kinds(read)
            if unread := unread_files(data.path, read):
                found.facts["files not read"] = kinds(unread)
        library = quick_library(data)
        found.quarantine = quarantine_of(library, data)
        found.advice = advised(library, data, set_keys)
        if not len(library):
            raise UserError(f"{data.path} contains no molecule that can be used.")
        found.facts |= facts_of(library, data)
        found.facts["sides"] = split_sizes(library, data)
        found.facts |= range_facts(config, principal_of(library, data), set_keys)
        data = data.model_copy(update=without_prefix(found.advice))
        check_conditions(data, library, str(data.path))
        found.facts |= {"conditions": conditions_in_words(library, data), **further_columns(library, data)}
    except UserError as error:
        found.problems.append(str(error))
    return found


def further_columns(library: Library, data: MoleculeData) -> dict[str, str]:
    """Return the user's columns that are no conditions yet (`polydiff.contract.data.columns`).

    Columns of texts that hardly repeat are listed with the type text.
    """
    used = {column.name for column in described_columns(data, library).values()}
    used |= {word.partition(":")[0] for word in data.conditions} | reserved_names(data, library).keys()
    own = {
        name: len(np.unique(column[~np.isnan(column)]))
        for name, column in zip(library.names, library.properties.T, strict=True)
        if name not in PROPERTIES and name not in used
    }
    for name, cells in library.texts.items():
        if name not in used:
            own[name if 2 * len(cells) <= library.used else f"{name}:text"] = len(cells)
    return other_columns(own, (), data.conditions)


def conditions_in_words(library: Library, data: MoleculeData) -> str:
    """Return the conditions, each that is text or a class with its kind."""
    columns = described_columns(data, library)
    fields = measure_described(data, columns, split(library, data.test_share))
    numbers = [name for word in data.conditions if (name := word.partition(":")[0]) not in columns]
    return ", ".join([*numbers, *(f"{name} ({field.kind.words})" for name, field in fields.items())]) or "none"


def without_prefix(advice: dict[str, Any]) -> dict[str, Any]:
    """Return advice with keys relative to the section `data`."""
    return {key.removeprefix("data."): value for key, value in advice.items()}


def facts_of(library: Library, data: MoleculeData) -> dict[str, Any]:
    """Return facts about molecules whose geometries may not be computed yet, name -> JSON value."""
    owner = np.repeat(np.arange(len(library)), library.sizes)
    uncomputed = np.bincount(owner, np.abs(library.positions).sum(1)) == 0
    uncomputed &= library.sizes > 1
    facts: dict[str, Any] = {
        "molecules": len(set(library.smiles)),
        "geometries": {"given or known": int((~uncomputed).sum()), "to be computed": int(uncomputed.sum())},
        "atoms": quantiles(library.sizes),
        "molecules with": element_counts(library, owner),
        **{f"column {name}": column_summary(library.column(name)) for name in library.names if name not in PROPERTIES},
    }
    if uncomputed.any():
        smiles = [library.smiles[i] for i in np.flatnonzero(uncomputed).tolist()]
        facts["minutes to compute"] = estimated_minutes(smiles, data)
    return facts


def principal_of(library: Library, data: MoleculeData) -> float:
    """Return the largest principal standard deviation of states of training; unknown geometries do not enter it."""
    train = split(library, data.test_share)["train"]
    return principal_std(train, codec_of(data, measured_statistics(train, data)))


def split_sizes(library: Library, data: MoleculeData) -> dict[str, int]:
    """Return split -> number of items, with "neither" for usable ones in no split."""
    parts = {name: part.used for name, part in split(library, data.test_share).items()}
    neither = library.used - sum(parts.values())
    return parts | ({"neither": neither} if neither else {})


def element_counts(library: Library, owner: np.ndarray) -> dict[str, int]:
    """Return symbol -> number of geometries that contain the element, in order of atomic number.

    Arguments:
        library: The geometries.
        owner: Index of the geometry of each atom (M,).
    """
    table = Chem.GetPeriodicTable()
    pairs = np.unique(np.stack([owner, library.numbers]), axis=1)
    numbers, counts = np.unique(pairs[1], return_counts=True)
    return {table.GetElementSymbol(int(z)): int(n) for z, n in zip(numbers, counts, strict=True)}


def column_summary(values: np.ndarray) -> dict[str, float]:
    """Return the extremes and the median of a column, and the number of missing values."""
    known = values[~np.isnan(values)]
    missing = {} if len(known) == len(values) else {"missing": len(values) - len(known)}
    return {name: value for name, value in quantiles(known).items() if "%" not in name} | missing


def quantiles(values: np.ndarray) -> dict[str, float]:
    """Return the quantiles of `QUANTILES`, with four digits."""
    return {name: float(f"{np.quantile(values, q):.4g}") for name, q in QUANTILES.items()}


def estimated_minutes(smiles: Sequence[str], data: MoleculeData) -> float:
    """Return the estimated time to compute the geometries of molecules on this machine, measured on some of them."""
    n = min(TIMED_MOLECULES, len(smiles))
    chosen = [smiles[i * len(smiles) // n] for i in range(n)]
    work = partial(prepare, selection=selection_of(data))
    tried = [Item("", "smiles", text) for text in chosen]
    list(in_processes(work, tried[:1], "one molecule", seconds=data.seconds))  # starts the workers, which is not timed
    start = time.monotonic()
    list(in_processes(work, tried, "some molecules", seconds=data.seconds))
    return float(f"{(time.monotonic() - start) / len(tried) * len(smiles) / 60:.2g}")


def advised(library: Library, data: MoleculeData, set_keys: Collection[str]) -> dict[str, Any]:
    """Return recommended configuration values, key -> value, except for keys that the user has set."""
    advice: dict[str, Any] = {}
    if any("data.add_hydrogens" in reason for reason in library.rejected):
        advice["data.add_hydrogens"] = True
    if len(library) and np.isnan(library.column("logp")).all() and np.abs(library.positions).any():
        numbers = [name for name in library.names if not np.isnan(library.column(name)).all()]
        known = {*numbers, *described_columns(data, library), COMPOSITION}
        advice["data.conditions"] = [word for word in data.conditions if word.partition(":")[0] in known]
    return {key: value for key, value in advice.items() if key not in set_keys}
