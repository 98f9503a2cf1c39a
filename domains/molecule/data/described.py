"""Which columns of a data set become conditions as text or classes, beside the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from polydiff.contract.data.columns import READ, check_type, measure_fields
from polydiff.contract.fields import Field, meanings
from polydiff.contract.text.columns import TEXT, caption_column
from polydiff.domains.molecule.chemistry.composition import COMPOSITION
from polydiff.domains.molecule.chemistry.properties import PROPERTIES
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data.library import Library
from polydiff.support.errors import UserError, unknown

KINDS = ("class", "number", "text")
"""Types of a column of molecules."""


class Column(NamedTuple):
    """A condition that is text or a class.

    Attributes:
        name: The column of the data.
        kind: Its type, "text" or "class".
    """

    name: str
    kind: str


def described_columns(data: MoleculeData, library: Library) -> dict[str, Column]:
    """Return the conditions that are text or classes, name -> column: those of `data.conditions`, and the captions.

    Raises:
        UserError: A column does not exist, or its values do not have the specified type.
    """
    columns = [*library.texts, *(name for name in library.names if name not in PROPERTIES)]
    caption = caption_column(data.captions, library.texts if data.captions == "auto" else columns)
    found: dict[str, Column] = {}
    for word in data.conditions:
        name, _, kind = word.partition(":")
        if kind not in ("", *KINDS):
            raise unknown(f"type of column {name}", kind, KINDS)
        if name in (*PROPERTIES, COMPOSITION):
            if kind not in ("", "number"):
                raise UserError(f"data.conditions={word}: {name} is computed by RDKit and has no other type.")
            continue
        source = caption if name == TEXT and caption else name
        if source in library.names and kind in ("", "number"):
            continue
        if source not in columns:
            raise unknown("condition", name, (*library.names, COMPOSITION, *library.texts), PLACES.format(data.path))
        found[name] = Column(source, kind or "class")
    if caption and TEXT not in {word.partition(":")[0] for word in data.conditions}:
        found[TEXT] = Column(caption, "text")
    for name, column in found.items():
        check_column(name, column, library)
    return found


PLACES = "These are the properties and columns of {}."
"""Where the names of conditions come from."""


def check_column(name: str, column: Column, library: Library) -> None:
    """Raise UserError if the values of a condition do not have its type; each molecule counts once."""
    places, first = np.unique(library.places, return_index=True)
    cells = zip(places.tolist(), library.cells(column.name, first), strict=True)
    check_type(name, column.kind, {f"item {i + 1}": cell for i, cell in cells if cell is not None}, "molecules")


def measure_described(
    data: MoleculeData, columns: Mapping[str, Column], splits: Mapping[str, Library]
) -> dict[str, Field]:
    """Return the fields of conditions that are text or classes, by name."""
    train, test = splits["train"], splits["test"]
    rows = [*rows_of(columns, train), *rows_of(columns, test)]
    weights = [1] * len(train) + [0] * len(test)
    return measure_fields(rows, weights, {name: column.kind for name, column in columns.items()}, {}, data.text)


def measured_again(
    data: MoleculeData, columns: Mapping[str, Column], fields: Mapping[str, Field], splits: Mapping[str, Library]
) -> dict[str, Field]:
    """Return the fields of conditions on data that must be those of training.

    Arguments:
        data: Section of the configuration.
        columns: Columns of the data.
        fields: Fields as they were measured on the training data.
        splits: The data.

    Raises:
        UserError: A column is missing, or means something else.
    """
    if missing := fields.keys() - columns.keys():
        raise UserError(
            f"The data lack the conditions {', '.join(sorted(missing))} of training. Restore their columns, or start "
            "a new run."
        )
    found = measure_described(data, columns, splits)
    if meanings(found) != meanings(fields):
        raise UserError(
            f"The conditions in the data are not those of training: {meanings(found)}, not {meanings(fields)}. "
            "Restore the data of training, or start a new run."
        )
    return found


def rows_of(
    columns: Mapping[str, Column], library: Library, indices: np.ndarray | list[int] | None = None
) -> list[dict[str, str]]:
    """Return the values of these conditions for some geometries, or for all; empty ones are left out."""
    chosen = range(len(library)) if indices is None else indices
    rows: list[dict[str, str]] = [{} for _ in chosen]
    for name, column in columns.items():
        for row, cell in zip(rows, library.cells(column.name, np.asarray(chosen, np.int64)), strict=True):
            if cell is not None:
                row[name] = READ[column.kind](cell)
    return rows
