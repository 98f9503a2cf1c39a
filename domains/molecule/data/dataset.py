"""The data set of molecules: read from the cache or prepared, divided into splits, opened on first use."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.data.splits import chosen
from polydiff.contract.text.columns import TEXT, captioned
from polydiff.domains.molecule.chemistry.composition import COMPOSITION, FORMULA, symbols
from polydiff.domains.molecule.chemistry.geometry import Rejected
from polydiff.domains.molecule.chemistry.sizes import ATOMS
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data import qm9
from polydiff.domains.molecule.data.described import described_columns
from polydiff.domains.molecule.data.files import kinds, molecule_files, unread_files
from polydiff.domains.molecule.data.filters import Selection
from polydiff.domains.molecule.data.library import Found, Library, stack
from polydiff.domains.molecule.data.preparation.cache import cache_folder, cached_library, read_library
from polydiff.domains.molecule.data.preparation.entries import UNKNOWN_BONDS
from polydiff.domains.molecule.data.preparation.groups import prepare_in_groups
from polydiff.domains.molecule.data.preparation.prepare import Item, prepare
from polydiff.domains.molecule.data.preparation.resume import Draft
from polydiff.domains.molecule.data.source import Source, cache_key, selection_of, source_of
from polydiff.domains.molecule.splits import split
from polydiff.domains.molecule.workers.pool import in_processes
from polydiff.domains.molecule.workers.worker import TimedOut
from polydiff.support.errors import UserError

NO_BONDS = "its bonds are unknown, and data.bonds=true needs them"
"""Reason that rejects a molecule."""


@dataclass(frozen=True)
class DataSet:
    """The geometries that a configuration names.

    Arguments:
        data: Section of the configuration.
    """

    data: MoleculeData

    @cached_property
    def library(self) -> Library:
        """All geometries, read or computed on first use."""
        return open_library(self.data)

    @cached_property
    def splits(self) -> dict[str, Library]:
        """The training split "train" and the held-out split "test"."""
        parts = split(self.library, self.data.test_share, charged=self.data.bonded)
        return parts if self.data.per_class is None else few_molecules(parts, self.data)

    @cached_property
    def quarantine(self) -> Quarantine | None:
        """How many molecules the data hold and which are excluded; None if the molecules are enumerated."""
        if self.data.name == "organic":
            return None
        return quarantine_of(self.library, self.data)


def few_molecules(parts: Mapping[str, Library], data: MoleculeData) -> dict[str, Library]:
    """Return the splits with the training molecules that `data.per_class` uses, in all their geometries.

    Held-out molecules with an element that these lack are left out, since no state can hold them.

    Raises:
        UserError: There are fewer training molecules, or none is held out.
    """
    train, test = parts["train"], parts["test"]
    molecules = list(dict.fromkeys(train.smiles))
    used = {molecules[i] for i in chosen(data, [""] * len(molecules))}
    train = train.take([i for i, one in enumerate(train.smiles) if one in used])
    both = train.numbers, test.numbers
    if data.bonded:  # an element with another charge is another one
        both = tuple(of.numbers.astype(np.int64) * 256 + of.charges for of in (train, test))
    known = np.logical_and.reduceat(np.isin(both[1], both[0]), test.first[:-1])
    if not known.any():
        raise UserError(
            f"data.per_class={data.per_class}: each held-out molecule has an element that the training molecules lack. "
            "Raise it."
        )
    return {"train": train, "test": test.take(np.flatnonzero(known))}


def open_library(data: MoleculeData) -> Library:
    """Return the molecules that a configuration names, from the cache if possible.

    Raises:
        UserError: No molecule can be used, or a condition is unknown.
    """
    source = source_of(data)
    library = cached_library(cache_key(source, data), partial(prepare_library, source, selection_of(data)))
    if data.bonded:
        library = with_known_bonds(library)
    if data.name != "organic" or not len(library):
        warn_about_rejected(library, source.name)
    check_conditions(data, library, source.name)
    return library.with_texts({column.name for column in described_columns(data, library).values()})


def with_known_bonds(library: Library) -> Library:
    """Return the library without the molecules whose bonds are unknown, which are counted as rejected."""
    known = library.bonded
    if known.all():
        return library
    lost = len(np.unique(library.places[~known]))
    named = {**library.named, NO_BONDS: library.named.get(UNKNOWN_BONDS, [])}
    notes = {text: count for text, count in library.notes.items() if text != UNKNOWN_BONDS}
    found = library.take(np.flatnonzero(known))
    return replace(found, rejected={**library.rejected, NO_BONDS: lost}, named=named, notes=notes)


def quick_library(data: MoleculeData) -> Library:
    """Return the molecules that a configuration names, with positions of 0 instead of geometries to be computed."""
    source = source_of(data)
    cached = read_library(cache_folder(cache_key(source, data)))
    return cached or prepare_library(source, selection_of(data)._replace(compute=False))


def prepare_library(source: Source, selection: Selection, folder: Path | None = None) -> Library:
    """Return the library of a source, prepared in worker processes.

    Arguments:
        source: The source.
        selection: Which molecules are used.
        folder: Folder of the cache, whose interrupted preparation is resumed; None: no draft is read or written.
    """
    changed = list[int]()

    def noted() -> Iterator[Found]:
        for number, one in enumerate(prepare_items(source, selection, Draft(folder))):
            if isinstance(one.entry, Rejected) and str(one.entry) == qm9.CHANGED:
                changed.append(number)
            yield one

    library = stack(noted())
    return qm9.with_edm_split(library, changed) if "qm9" in source.key else library


def prepare_items(source: Source, selection: Selection, draft: Draft) -> Iterator[Found]:
    """Yield the result of each item of a source: first those of a resumed draft, then those of workers."""
    everything, taken = iter(source.items()), deque[Item]()
    for entry, item in zip(draft.known, everything, strict=False):
        yield Found(item.name, entry, item.columns, item.texts, item.stated)

    def given() -> Iterator[Item]:
        for item in everything:
            taken.append(item._replace(text=""))
            yield item

    done = len(draft.known)
    what = f"{source.name}: molecules" + (f" after {done}" if done else "")
    total = None if source.total is None else max(source.total - done, 1)
    if selection.graph is None:
        work = partial(prepare, selection=selection)
        results = in_processes(work, given(), what, seconds=selection.seconds, total=total)
    else:
        results = prepare_in_groups(given(), selection, what, total)
    for one in results:
        entry = Rejected(one.reason) if isinstance(one, TimedOut) else one
        draft.add(entry)
        item = taken.popleft()
        yield Found(item.name, entry, item.columns, item.texts, item.stated)


def check_conditions(data: MoleculeData, library: Library, source: str) -> None:
    """Raise UserError if a condition is unknown or its name is reserved; warn if its value is never known.

    Arguments:
        data: Section of the configuration.
        library: The data set.
        source: Name of the data set in messages.
    """
    reserved, described = reserved_names(data, library), described_columns(data, library)
    for name in dict.fromkeys([*(word.partition(":")[0] for word in data.conditions), *described]):
        if name in reserved:
            raise UserError(
                f"{source} has a column {name}, which cannot be a condition: {name} is {reserved[name]}. Rename the "
                "column."
            )
        if name not in described and name in library.names and np.isnan(library.column(name)).all():
            warnings.warn(
                f"{name} is unknown for all molecules of {source}, so the network cannot be conditioned on it. "
                "data.conditions=[] trains without conditions.",
                stacklevel=2,
            )


def reserved_names(data: MoleculeData, library: Library) -> dict[str, str]:
    """Return the names that a column must not have as a condition, name -> what it means already."""
    counted = COMPOSITION in data.conditions or data.types == "given"
    elements = symbols(np.unique(library.numbers).tolist()) if counted else ()
    return {
        **dict.fromkeys(elements, "the condition on the number of atoms of an element"),
        **dict.fromkeys((ATOMS, FORMULA), "a condition of every run"),
        **dict.fromkeys(("file", "smiles", "valid"), "a key of the manifest of samples"),
    }


def warn_about_rejected(library: Library, source: str) -> None:
    """Warn about the molecules of a data set that are left out or read oddly; raise UserError if none is left."""
    reasons = "; ".join(rejection_reasons(library))
    if not len(library):
        raise UserError(f"{source} contains no molecule that can be used. {reasons or 'It is empty'}.")
    if found := remarks(library):
        warnings.warn(f"{source}: {'; '.join(found)}.", stacklevel=2)
    if reasons:
        warnings.warn(
            f"{source}: {library.used} of {library.found} molecules are used. Molecules left out: {reasons}.",
            stacklevel=2,
        )


def quarantine_of(library: Library, data: MoleculeData) -> Quarantine:
    """Return how many molecules a data set holds, which are left out, and the kinds of files that are not read."""
    notes = {text.split(" (")[0]: text for text in (*rejection_reasons(library), *remarks(library))}
    place = str(data.path or data.name)
    found = Quarantine(place, "molecules", library.found, sum(library.rejected.values()), notes=notes)
    if len(library) and (text := described_columns(data, library).get(TEXT)):
        found.notes["captioned"] = captioned(library.cells(text.name, np.unique(library.places, return_index=True)[1]))
    if data.path is not None and data.path.is_dir() and qm9.folder_of(data.path) is None:
        unread = kinds(unread_files(data.path, molecule_files(data.path)))
        found.ignored = {kind or "without a suffix": n for kind, n in unread.items()}
        found.report_ignored()
    return found


def rejection_reasons(library: Library) -> list[str]:
    """Return the reasons for which molecules are left out, each with their number and the places of the first ones."""
    return with_places(library, library.rejected)


def remarks(library: Library) -> list[str]:
    """Return the remarks on molecules that are used, as `rejection_reasons` does, and those on columns."""
    return [*(f"used, {text}" for text in with_places(library, library.notes)), *library.remarks]


def with_places(library: Library, counts: Mapping[str, int]) -> list[str]:
    """Return reason -> number as text, the largest number first, with the places of the first molecules."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return [
        f"{count}: {reason} ({', '.join(library.named[reason])}{', ...' if count > len(library.named[reason]) else ''})"
        for reason, count in ordered
    ]
