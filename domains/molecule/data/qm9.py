"""QM9 from a folder in its raw layout: gdb9.sdf, gdb9.sdf.csv and uncharacterized.txt.

It holds 133,885 molecules of up to nine heavy atoms with one geometry each, at the B3LYP/6-31G(2df,p) level
(Ramakrishnan et al., 2014, https://doi.org/10.1038/sdata.2014.22). Molecules that changed their bonds while they were
minimised, those that uncharacterized.txt lists, are left out, and the others are divided as EDM divided them (Hoogeboom
et al., 2022): a permutation of np.random.seed(0), 100,000 to train on, 17,748 set apart, 13,083 held out. A folder that
holds fewer is divided in the same shares.

The reader of torch_geometric does not serve: it downloads a file that is not there, writes into the folder, stops at a
record that is cut off or holds another element, and searches its list of 3,054 for each molecule.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from polydiff.domains.molecule.data.files import opened, sdf_items
from polydiff.domains.molecule.data.library import APART, TEST, TRAIN, Library
from polydiff.domains.molecule.data.prepare import Item
from polydiff.support.errors import UserError

SDF, TABLE, LIST = "gdb9.sdf", "gdb9.sdf.csv", "uncharacterized.txt"
HARTREE = 27.211386246
"""eV."""
KCAL_MOL = 0.04336414
"""eV."""
UNITS: Mapping[str, tuple[str, float]] = {
    **dict.fromkeys(("a", "b", "c"), ("GHz", 1.0)),
    "mu": ("D", 1.0),
    "alpha": ("a0³", 1.0),
    **dict.fromkeys(("homo", "lumo", "gap", "zpve", "u0", "u298", "h298", "g298"), ("eV", HARTREE)),
    "r2": ("a0²", 1.0),
    "cv": ("cal/(mol K)", 1.0),
    **dict.fromkeys(("u0_atom", "u298_atom", "h298_atom", "g298_atom"), ("eV", KCAL_MOL)),
}
"""Column of the table -> its unit here and how many of them are one of the table's."""
CHANGED = "uncharacterized.txt lists it"
WHOLE, TRAINED = 130_831, 100_000
"""Molecules that are not listed, and those that EDM trained on; a tenth is held out."""


def folder_of(path: Path) -> Path | None:
    """Return the folder that holds the three files: a path or the folder raw in it; None where neither does."""
    places = (path, path / "raw") if path.is_dir() else ()
    return next((place for place in places if (place / SDF).is_file()), None)


def check_folder(folder: Path) -> list[Path]:
    """Return the three files, which must be there."""
    files = [folder / name for name in (SDF, TABLE, LIST)]
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise UserError(f"{folder} holds {SDF}, but not {' and '.join(missing)}, which QM9 consists of too.")
    return files


def items(folder: Path) -> Iterator[Item]:
    """Yield each record with its row of the table; one that is listed as changed is left out."""
    sdf, table, listed = check_folder(folder)
    changed, heading, rows = changed_numbers(listed), *table_rows(table)
    for item in sdf_items(sdf):
        name = item.text.partition("\n")[0].strip()
        if name in changed:
            yield item._replace(kind="refused", text=CHANGED)
        elif name not in rows:
            yield item._replace(kind="refused", text=f"its first line is no name that {TABLE} has")
        else:
            yield item._replace(kind="gdb9", columns=converted(heading, rows[name]))


def changed_numbers(path: Path) -> set[str]:
    """Return the names of molecules of which the numbers begin a line; head and foot begin with none."""
    with opened(path) as file:
        first = [words[0] for line in file if (words := line.split())]
    return {f"gdb_{word}" for word in first if word.isdigit()}


def table_rows(path: Path) -> tuple[list[str], dict[str, str]]:
    """Return the heading, and molecule -> line."""
    with opened(path) as file:
        heading = file.readline().strip().split(",")
        if heading[0] != "mol_id":
            raise UserError(f"{path} does not begin with the heading mol_id,A,B,C,mu,alpha,...")
        return heading, {name: rest for name, _, rest in (line.strip().partition(",") for line in file)}


def converted(heading: Sequence[str], row: str) -> dict[str, str]:
    """Return column -> number in the units of `UNITS`, as text."""
    texts = dict(zip(heading[1:], row.split(","), strict=False))
    return {name: in_unit(text, UNITS[name.lower()][1]) for name, text in texts.items() if name.lower() in UNITS}


def in_unit(text: str, factor: float) -> str:
    """Return a number times a factor, as text; what is no number as it is."""
    try:
        return repr(float(text) * factor)
    except ValueError:
        return text


def divided(library: Library, changed: Collection[int]) -> Library:
    """Return a library with EDM's sides.

    Arguments:
        library: All of the folder.
        changed: Places of the molecules that uncharacterized.txt lists.
    """
    included = np.setdiff1d(np.arange(library.found), list(changed))
    sides = np.full(library.found, -1, np.int8)
    sides[included[np.random.RandomState(0).permutation(len(included))]] = edm_sides(len(included))
    return replace(library, sides=sides[library.places])


def edm_sides(n: int) -> np.ndarray:
    """Return the sides of n permuted molecules: EDM's numbers, or, of another n, its shares."""
    test = min(max(1, n // 10), n)
    train = min(TRAINED if n == WHOLE else round(n * TRAINED / WHOLE), n - test)
    return np.repeat(np.array([TRAIN, APART, TEST], np.int8), [train, n - train - test, test])
