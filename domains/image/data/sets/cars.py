"""Stanford Cars (Krause et al., 2013): pictures of 196 models of cars, with labels in MATLAB's files.

The pictures lie in cars_train/ and cars_test/, or all in car_ims/. Copies of the data set nest these folders, and lack
cars_test_annos_withlabels.mat or have it beside devkit/: files are found by their names, anywhere below the path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from polydiff.contract.data.columns import LABEL
from polydiff.contract.data.places import Place
from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.data.splits import TEST, TRAIN
from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data.assemble import assemble
from polydiff.domains.image.data.files import SUFFIXES
from polydiff.domains.image.data.folder import read_all
from polydiff.domains.image.data.layout import labelled_layout
from polydiff.domains.image.data.listing import Listing
from polydiff.domains.image.data.sets.parts import count_ignored, enough, in_order
from polydiff.domains.image.data.source import Source
from polydiff.support.errors import UserError, one_line
from polydiff.support.files import files_under

FOLDERS = {"cars_train": TRAIN, "cars_test": TEST, "car_ims": ""}
"""Name of a folder of pictures -> its split."""
META = "cars_meta.mat"
TABLES = {
    "cars_train_annos.mat": "cars_train",
    "cars_test_annos_withlabels.mat": "cars_test",
    "cars_test_annos.mat": "cars_test",
    "cars_annos.mat": "car_ims",
}
"""File of labels -> the folder of its pictures, those with more labels first."""
DEPTH = 3
"""Folders below the path in which names are recognised."""
BRANDS = ("AM General", "Alfa Romeo", "Aston Martin", "Land Rover")
"""Brands of two words; all others are the first word of a name."""


class Row(NamedTuple):
    """A row of a file of labels: folder and name of the picture, its class ("" if it has none), its split."""

    folder: str
    file: str
    label: str
    split: str


def recognises(path: Path) -> bool:
    """Return whether a folder holds the pictures with their labels, or both folders of pictures."""
    if not path.is_dir():
        return False
    names = {one.name for depth in range(DEPTH) for one in path.glob("*/" * depth + "car*") if one.name in NAMES}
    pictures, tables = names & FOLDERS.keys(), names & TABLES.keys()
    return bool(pictures and tables) or {"cars_train", "cars_test"} <= pictures


NAMES = frozenset({*FOLDERS, *TABLES, META})


def read(data: ImageData) -> Source:
    """Return the pictures; the class is the model of the car, whose name also gives the columns of `described`.

    Raises:
        UserError: A file of labels is damaged or has another form, or too many pictures are missing or damaged.
    """
    assert data.path is not None
    quarantine = Quarantine(str(data.path), "images")
    tables = {one.name: one for one in files_under(data.path, {".mat"}) if one.name in NAMES}  # the last of copies
    places = pictures(data.path, quarantine, [one for one in files_under(data.path, {".mat"}) if one.name in NAMES])
    classes = class_names(tables)
    listing = Listing()
    for (folder, file), place in places.items():
        listing.add(f"{folder}/{file}", place, {}, FOLDERS[folder])
    labelled: set[str] = set()
    for name, table in ((name, tables[name]) for name in TABLES if name in tables):
        if any(folder == TABLES[name] for folder, _ in places):
            add_rows(listing, table, classes, labelled, quarantine)
    enough(data.path, len(listing.places))
    if unlabelled := sum(LABEL not in row for row in listing.columns.values()):
        quarantine.notes["unlabelled"] = f"{unlabelled} have no label" + (
            "; cars_test_annos_withlabels.mat has those of cars_test/"
            * ("cars_test_annos_withlabels.mat" not in tables)
        )
    order = classes or in_order({str(row[LABEL]) for row in listing.columns.values() if LABEL in row})
    known = read_all(listing.places, data, quarantine)
    return assemble(known, listing, data, quarantine, partial(labelled_layout, order=order))


def pictures(root: Path, quarantine: Quarantine, tables: list[Path]) -> dict[tuple[str, str], Place]:
    """Return (folder, name) -> place of each picture; of nested copies, the one nearest to the root."""
    odd: dict[str, str] = {}
    found: dict[tuple[str, str], Place] = {}
    paths = files_under(root, SUFFIXES, odd=odd)
    copies = []
    for path in sorted(paths, key=lambda one: (len(one.parts), one)):
        folder = next((part for part in reversed(path.relative_to(root.parent).parts[:-1]) if part in FOLDERS), None)
        if folder and found.setdefault((folder, path.name), Place(path)).path != path:
            copies.append(path)
    for name, reason in odd.items():
        quarantine.exclude(name, reason)
    quarantine.found += len(found) + len(odd)
    count_ignored(root, [*(place.path for place in found.values()), *copies, *tables], quarantine)
    quarantine.ignored |= {"copied into another folder": len(copies)} if copies else {}
    return found


def class_names(tables: dict[str, Path]) -> list[str]:
    """Return the names of the classes, in the order of their numbers from 1 on; [] if no file has them."""
    for name in (META, "cars_annos.mat"):
        if name in tables and "class_names" in (values := matlab(tables[name])):
            return [" ".join(text(one).split()) for one in np.ravel(values["class_names"])]
    return []


def add_rows(listing: Listing, table: Path, classes: list[str], labelled: set[str], quarantine: Quarantine) -> None:
    """Add the labels of a file to the pictures.

    Arguments:
        listing: The pictures.
        table: The file.
        classes: Names of the classes by number.
        labelled: Names of pictures that an earlier file lists; receives those of this one.
        quarantine: Receives rows without a picture or with an unknown class.
    """
    for number, row in enumerate(rows_of(table, classes), 1):
        name, line = f"{row.folder}/{row.file}", f"{table.name}, row {number}"
        if name in labelled:
            continue
        labelled.add(name)
        quarantine.rows += 1
        if name not in listing.places:
            quarantine.bad_rows[line] = f"there is no image {name}"
        elif row.label.startswith("class "):
            quarantine.exclude(name, f"its {row.label} in {table.name} is none of the {len(classes)} classes")
        else:
            listing.add(name, listing.places[name], described(row.label) if row.label else {}, row.split)


def rows_of(table: Path, classes: list[str]) -> Iterator[Row]:
    """Yield the rows of a file of labels; the label of an unknown class is "class NUMBER"."""
    values = np.atleast_1d(matlab(table).get("annotations", np.array([])))
    fields = values.dtype.names or ()
    named = next((field for field in ("fname", "relative_im_path") if field in fields), None)
    if named is None:
        raise UserError(
            f"{table} has no `annotations` with fname or relative_im_path, so it is no file of Stanford Cars."
        )
    for one in values:
        number = int(text(one["class"])) if "class" in fields else 0
        known = classes[number - 1] if 0 < number <= len(classes) else f"class {number}" if classes else str(number)
        split = (TEST if int(text(one["test"])) else TRAIN) if "test" in fields else FOLDERS[TABLES[table.name]]
        file = text(one[named]).replace("\\", "/").rpartition("/")[2]
        yield Row(TABLES[table.name], file, known if "class" in fields else "", split)


def matlab(path: Path) -> dict[str, Any]:
    """Return the values in a file of MATLAB.

    Raises:
        UserError: It is damaged, or has the version 7.3.
    """
    from scipy.io import loadmat

    try:
        return dict(loadmat(path, squeeze_me=True))
    except NotImplementedError as error:
        raise UserError(
            f"{path} is a file of MATLAB 7.3, which is not read. Save it again in MATLAB with save(..., '-v7')."
        ) from error
    except Exception as error:
        raise UserError(f"{path} cannot be read as a file of MATLAB: {one_line(error)}.") from error


def text(value: Any) -> str:
    """Return a text or a number that MATLAB's cells wrap."""
    return str(np.asarray(value).item())


def described(name: str) -> dict[str, Any]:
    """Return the columns of a class: its label, title, brand, model and year.

    The year is the last word if it has four digits. The brand is the first word, or one of `BRANDS`. The model lies
    between them. Columns that a name lacks are missing.
    """
    words = re.fullmatch(r"(.*?)(?:\s+(\d{4}))?", name)
    assert words is not None
    brand = next((two for two in BRANDS if words[1].startswith(f"{two} ")), words[1].partition(" ")[0])
    found = {"brand": brand, "model": words[1][len(brand) :].strip(), "year": words[2]}
    return {LABEL: name, "title": name} | {column: value for column, value in found.items() if value}
