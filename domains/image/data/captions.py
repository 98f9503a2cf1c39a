"""Which columns of a data set of images become conditions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from polydiff.contract.data.columns import LABEL, column_types, measure_embeddings
from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.fields import Field
from polydiff.contract.text.columns import TEXT, caption_column, captioned
from polydiff.domains.image.config import ImageData

Columns = Mapping[str, Mapping[str, Any]]
"""Name of a file -> its metadata by column."""


class Described(NamedTuple):
    """A file and its columns."""

    name: str
    columns: Mapping[str, Any]


class Types(NamedTuple):
    """The conditions of a data set besides the label.

    Attributes:
        types: Name of a condition -> its type.
        arrays: Fields of the embeddings.
    """

    types: Mapping[str, str]
    arrays: Mapping[str, Field]


def types_of(columns: Columns, data: ImageData, quarantine: Quarantine) -> Types:
    """Return the conditions that `data.conditions` and `data.captions` name.

    Raises:
        UserError: A column does not exist, or its values do not have the specified type.
    """
    listed = [Described(*item) for item in columns.items()]
    named = [word for word in data.conditions if word.partition(":")[0] != LABEL]
    captions = data.captions != "none" and any(TEXT in row for row in columns.values())
    if captions and TEXT not in {word.partition(":")[0] for word in named}:
        named.append(f"{TEXT}:text")
    types = column_types(listed, named, False, quarantine)
    return Types(types, measure_embeddings(listed, types, quarantine))


def with_captions(columns: Columns, data: ImageData, quarantine: Quarantine) -> Columns:
    """Return columns in which the caption of each image, if it has one, is the column `TEXT`.

    `data.captions` names the column, or is auto (the first of `CAPTIONS` that exists) or none.
    """
    column = caption_column(data.captions, {name for row in columns.values() for name in row})
    if not column:
        return columns
    found = {name: {**row, TEXT: row[column]} if column in row else row for name, row in columns.items()}
    quarantine.notes["captioned"] = captioned(row.get(TEXT) for row in found.values())
    return found
