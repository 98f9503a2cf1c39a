"""QM9 from a folder in its raw layout: gdb9.sdf, gdb9.sdf.csv and uncharacterized.txt.

It holds 133,885 molecules of up to nine heavy atoms with one geometry each, at the B3LYP/6-31G(2df,p) level
(Ramakrishnan et al., 2014, https://doi.org/10.1038/sdata.2014.22). The molecules that uncharacterized.txt lists changed
their bonds during minimisation and are left out. The others are divided as by EDM (Hoogeboom et al., 2022,
https://arxiv.org/abs/2203.17003): permuted with np.random.seed(0), then 100,000 for training, 17,748 unused and 13,083
held out. A folder with fewer molecules is divided in the same shares.

The reader of torch_geometric is not used. It downloads files that are missing, writes into the folder, fails at a
record that is truncated or has another element, and searches its list of 3,054 molecules for each record.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from polydiff.domains.molecule.data.files import sdf_items
from polydiff.domains.molecule.data.formats.text_files import opened
from polydiff.domains.molecule.data.library import TEST, TRAIN, UNUSED, Library
from polydiff.domains.molecule.data.preparation.prepare import Item
from polydiff.support.errors import UserError

SDF, TABLE, LIST = "gdb9.sdf", "gdb9.sdf.csv", "uncharacterized.txt"
HARTREE = 27.211386246
"""1 hartree in eV."""
KCAL_MOL = 0.04336414
"""1 kcal/mol in eV."""
UNITS: Mapping[str, tuple[str, float]] = {
    **dict.fromkeys(("a", "b", "c"), ("GHz", 1.0)),
    "mu": ("D", 1.0),
    "alpha": ("a0³", 1.0),
    **dict.fromkeys(("homo", "lumo", "gap", "zpve", "u0", "u298", "h298", "g298"), ("eV", HARTREE)),
    "r2": ("a0²", 1.0),
    "cv": ("cal/(mol K)", 1.0),
    **dict.fromkeys(("u0_atom", "u298_atom", "h298_atom", "g298_atom"), ("eV", KCAL_MOL)),
}
"""Column of the table -> unit used here, and the factor that converts the table's unit to it."""
CHANGED = "uncharacterized.txt lists it"
"""Reason that rejects molecules whose bonds changed."""
FULL_SIZE, EDM_TRAIN_SIZE = 130_831, 100_000
"""Number of molecules that are not listed, and number in EDM's training split; a tenth is held out."""


def folder_of(path: Path) -> Path | None:
    """Return the folder that contains gdb9.sdf: `path` or its sub-folder raw; None if neither does."""
    places = (path, path / "raw") if path.is_dir() else ()
    return next((place for place in places if (place / SDF).is_file()), None)


def check_folder(folder: Path) -> list[Path]:
    """Return the paths of the three files; raise UserError if one is missing."""
    files = [folder / name for name in (SDF, TABLE, LIST)]
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise UserError(
            f"{folder} contains {SDF}, but {' and '.join(missing)} is missing. QM9 needs {SDF}, {TABLE} and {LIST}."
        )
    return files


def items(folder: Path) -> Iterator[Item]:
    """Yield each record with its row of the table as columns; records listed as changed are marked as rejected."""
    sdf, table, listed = check_folder(folder)
    changed, heading, rows = changed_numbers(listed), *table_rows(table)
    for item in sdf_items(sdf):
        name = item.text.partition("\n")[0].strip()
        if name in changed:
            yield item._replace(kind="rejected", text=CHANGED)
        elif name not in rows:
            yield item._replace(kind="rejected", text=f"its first line is not a name in {TABLE}")
        else:
            yield item._replace(kind="gdb9", columns=converted_row(heading, rows[name]))


def changed_numbers(path: Path) -> set[str]:
    """Return the names of the molecules in uncharacterized.txt; their lines begin with a number."""
    with opened(path) as file:
        first = [words[0] for line in file if (words := line.split())]
    return {f"gdb_{word}" for word in first if word.isdigit()}


def table_rows(path: Path) -> tuple[list[str], dict[str, str]]:
    """Return the column names of the table, and molecule name -> rest of its line."""
    with opened(path) as file:
        heading = file.readline().strip().split(",")
        if heading[0] != "mol_id":
            raise UserError(f"{path} does not start with the heading mol_id,A,B,C,mu,alpha,...")
        return heading, {name: rest for name, _, rest in (line.strip().partition(",") for line in file)}


def converted_row(heading: Sequence[str], row: str) -> dict[str, str]:
    """Return column -> value in the unit of `UNITS`, as text."""
    texts = dict(zip(heading[1:], row.split(","), strict=False))
    return {name: in_unit(text, UNITS[name.lower()][1]) for name, text in texts.items() if name.lower() in UNITS}


def in_unit(text: str, factor: float) -> str:
    """Return a number times a factor, as text; return text that is not a number unchanged."""
    try:
        return repr(float(text) * factor)
    except ValueError:
        return text


def with_edm_split(library: Library, changed: Collection[int]) -> Library:
    """Return a library divided into EDM's splits.

    Arguments:
        library: All molecules of the folder.
        changed: Indices of the records that uncharacterized.txt lists.
    """
    included = np.setdiff1d(np.arange(library.found), list(changed))
    sides = np.full(library.found, -1, np.int8)
    sides[included[np.random.RandomState(0).permutation(len(included))]] = edm_splits(len(included))
    return replace(library, sides=sides[library.places])


def edm_splits(n: int) -> np.ndarray:
    """Return the splits of n permuted molecules, int8 (n,): EDM's numbers for the full data set, else its shares."""
    test = min(max(1, n // 10), n)
    train = min(EDM_TRAIN_SIZE if n == FULL_SIZE else round(n * EDM_TRAIN_SIZE / FULL_SIZE), n - test)
    return np.repeat(np.array([TRAIN, UNUSED, TEST], np.int8), [train, n - train - test, test])
