"""Columns of a data set as conditions of a network: which become conditions, of which type, and their fields."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from polydiff.contract.data.arrays import checked_vectors, read_array
from polydiff.contract.data.places import Place, opened_bytes
from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.fields import Embedding, Field, Labels, Real
from polydiff.contract.sections.data import CaptionConfig
from polydiff.contract.text.captions import Captions
from polydiff.contract.text.encoded import EncodedText
from polydiff.support.errors import UserError, unknown

LABEL = "label"
"""Column of the folder that a file lies in, or of a table's class."""
EMBEDDING = "embedding"
"""Column of the array in the .npy file beside an example's file."""
FEW = 100
"""Number of classes that is accepted for any number of examples."""
THREADS = 16
"""Threads that read arrays."""
TYPES = ("class", "number", "text", "embedding")
"""Types of a column."""


class Listed(Protocol):
    """An example as a data set lists it.

    Attributes:
        name: Name in messages, unique.
        columns: Metadata by column: text, numbers, and the `Place` of an array.
    """

    @property
    def name(self) -> str: ...

    @property
    def columns(self) -> Mapping[str, Any]: ...


def column_types(
    listed: Sequence[Listed], conditions: Sequence[str], label: bool, quarantine: Quarantine
) -> dict[str, str]:
    """Return the conditions of a data set: name -> type, one of `TYPES`.

    Arguments:
        listed: The examples.
        conditions: `data.conditions`: columns, with the type of their values as "tempo", or an explicit one as
            "digit:class".
        label: Whether the column `LABEL` is a condition even if `conditions` does not name it.
        quarantine: Names the data set and its examples in messages.

    Raises:
        UserError: A column does not exist, or its values do not have the specified type.
    """
    requested = dict(word.partition(":")[::2] for word in conditions)
    for name, times in Counter(word.partition(":")[0] for word in conditions).items():
        if times > 1:
            raise UserError(f"data.conditions names the column {name} {times} times. Name it once.")
    if label and LABEL not in requested:
        requested = {LABEL: "class", **requested}
    types = {}
    for name, specified in requested.items():
        cells = {one.name: one.columns[name] for one in listed if name in one.columns}
        values = list(cells.values())
        if not values:
            columns = {column for one in listed for column in one.columns}
            hint = f"These are the columns of {quarantine.place}; data.conditions selects from them."
            raise unknown("column", name, columns, hint)
        types[name] = specified or ("class" if name == LABEL else plain_type(values))
        check_type(name, types[name], cells, quarantine.things)
    return types


def labelled(listed: Sequence[Listed], labels: str, required: bool, place: object) -> bool:
    """Return whether the column `LABEL`, of folders or of a table, is a condition.

    Arguments:
        listed: The examples.
        labels: `data.labels`: auto, folders or none.
        required: Whether auto means folders, because the user selects classes.
        place: The data set, for messages.

    Raises:
        UserError: An example has no label although labels are required.
    """
    names = {str(one.columns[LABEL]) for one in listed if LABEL in one.columns}
    loose = next((one.name for one in listed if LABEL not in one.columns), None)
    if labels == "none" or (labels == "auto" and not required and (loose or len(names) < 2)):
        return False
    if loose:
        raise UserError(f"{place}: {loose} lies beside the class folders. Move it, or set data.labels=none.")
    return bool(names)


def plain_type(values: Sequence[Any]) -> str:
    """Return the default type of a column, by its values."""
    if any(isinstance(value, Place) for value in values):
        return "embedding"
    return "number" if all(map(is_number, values)) else "class"


def is_number(value: Any) -> bool:
    """Return whether a cell is a finite number, or text that is one."""
    try:
        return not isinstance(value, bool) and bool(np.isfinite(float(value)))
    except (TypeError, ValueError):
        return False


def check_type(name: str, kind: str, cells: Mapping[str, Any], things: str) -> None:
    """Raise UserError if the values of a column do not have the specified type.

    Arguments:
        name: Name of the column.
        kind: The type, one of `TYPES`.
        cells: Name of an example -> its value.
        things: What the examples are called.
    """
    values = list(cells.values())
    odd: Any
    match kind:
        case "class":
            kinds = len(set(map(str, values)))
            if kinds > max(FEW, len(values) // 2):
                raise UserError(
                    f"Column {name} has {kinds} different values for {len(values)} {things}, too many for classes. If "
                    f"they are captions, set data.conditions={name}:text."
                )
            odd = [value for value in values if isinstance(value, Place | dict | list)]
        case "text":
            odd = [value for value in values if isinstance(value, Place | dict | list | bool)]
        case "number":
            odd = [value for value in values if not is_number(value)]
        case "embedding":
            odd = [value for value in values if not isinstance(value, Place)]
        case _:
            raise unknown(f"type of column {name}", kind, TYPES)
    if odd:
        shown = odd[0].path.name if isinstance(odd[0], Place) else repr(odd[0])
        where = next(example for example, value in cells.items() if value is odd[0])
        advice = (
            " An example has one text: keep one of the list." if kind == "text" and isinstance(odd[0], list) else ""
        )
        raise UserError(f"Column {name} cannot have the type {kind}: {where} has {shown}.{advice}")


READ: Mapping[str, Any] = {"class": str, "number": float, "text": str, "embedding": lambda place: place}
"""Type of a column -> what makes a condition's value of a cell."""


def values_of(columns: Mapping[str, Any], types: Mapping[str, str]) -> dict[str, Any]:
    """Return the conditions of an example: text, numbers, and the places of arrays."""
    return {name: READ[kind](columns[name]) for name, kind in types.items() if name in columns}


def read_vectors(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return an example's conditions with the embeddings (N, width) at their places; ValueError as `vectors`."""
    return {name: vectors(value) if isinstance(value, Place) else value for name, value in values.items()}


def vectors(place: Place) -> NDArray[Any]:
    """Return an embedding (N, width); raise ValueError for any other array."""
    with opened_bytes(place) as file:
        data = BytesIO(file.read())
    try:
        return checked_vectors(read_array(data, place.path), place.path.name)
    except UserError as error:
        raise ValueError(str(error)) from error


def measure_embeddings(
    listed: Sequence[Listed], types: Mapping[str, str], quarantine: Quarantine
) -> dict[str, Embedding]:
    """Return the fields of the embedding columns; exclude examples whose array is unreadable or of another width.

    The commonest width is the field's width.

    Raises:
        UserError: A column has no usable array.
    """
    fields = {}
    for name in (name for name, kind in types.items() if kind == "embedding"):
        having = [one for one in listed if name in one.columns]
        with ThreadPoolExecutor(THREADS, thread_name_prefix="polydiff-columns") as pool:
            known = list(pool.map(size_of, (one.columns[name] for one in having)))
        width = Counter(size[1] for size in known if not isinstance(size, str)).most_common(1)
        good = []
        for one, size in zip(having, known, strict=True):
            if isinstance(size, str):
                quarantine.exclude(one.name, f"its {name}: {size}")
            elif size[1] != width[0][0]:
                quarantine.exclude(one.name, f"its {name} is {size[1]} wide, not {width[0][0]}")
            else:
                good.append(size)
        if not good:
            raise UserError(f"No array of column {name} can be used.\n{quarantine.text()}")
        numbers = sum(rows * wide for rows, wide, _ in good)
        scale = math.sqrt(sum(square for _, _, square in good) / numbers)
        fields[name] = Embedding(good[0][1], max(rows for rows, _, _ in good), scale or 1.0)
    return fields


def size_of(place: Place) -> tuple[int, int, float] | str:
    """Return N, width and the sum of squares of an embedding, or the reason why it cannot be read."""
    try:
        array = vectors(place)
    except Exception as error:  # noqa: BLE001 - it becomes the reason
        return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    rows, width = array.shape
    return rows, width, float(np.square(array, dtype=np.float64).sum())


def measure_fields(
    values: Sequence[Mapping[str, Any]],
    weights: Sequence[int],
    types: Mapping[str, str],
    arrays: Mapping[str, Field],
    captions: CaptionConfig,
) -> dict[str, Field]:
    """Return the fields of the conditions.

    Arguments:
        values: Conditions of each example.
        weights: How often each occurs in training; 0 for held-out ones.
        types: Name of a condition -> its type.
        arrays: Fields of the embeddings, which are measured already.
        captions: How texts become tokens.

    Raises:
        UserError: No training example has a value for a condition.
    """

    def measured(name: str, kind: str) -> Field:
        column = [row.get(name) for row in values]
        match kind:
            case "class":
                return Labels.measure(column, weights)
            case "number":
                return Real.measure(column, weights)
            case "text" if captions.encoder:
                return EncodedText.measure(column, weights, captions.encoder, captions.longest)
            case "text":
                return Captions.measure(column, weights, captions.tokens, captions.vocabulary, captions.longest)
        return arrays[name]

    for name in types:
        if not any(weight and name in row for row, weight in zip(values, weights, strict=True)):
            raise UserError(f"No training example has a value in column {name}, which data.conditions names.")
    return {name: measured(name, kind) for name, kind in types.items()}


def other_columns(columns: Mapping[str, int], used: Collection[str], conditions: Sequence[str]) -> dict[str, str]:
    """Return {"other columns": their names, and how they become conditions}, {} if there are none.

    Arguments:
        columns: Columns that can be conditions, each with the number of its distinct values; one with a single value
            tells a network nothing and is left out.
        used: Names of the conditions of the configuration.
        conditions: Value of `data.conditions`.
    """
    further = [name for name, values in columns.items() if values > 1 and name not in used]
    if not further:
        return {}
    every = ",".join([*conditions, *further])
    return {"other columns": f"{', '.join(further)}; data.conditions={every} conditions the network on them"}
