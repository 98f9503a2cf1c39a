"""Conversion of metadata columns to the conditions of a network."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.fields import Embedding, Field, Labels, Real, checked_vectors, read_array
from polydiff.domains.audio.config import AudioData
from polydiff.domains.audio.data.catalogue import Entry
from polydiff.domains.audio.data.crops import Place, opened_bytes
from polydiff.domains.audio.data.index import THREADS, Sound, why
from polydiff.support.errors import UserError, unknown

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SHORT = {"sc09": DIGITS}
"""Abbreviation in data.only -> its classes."""
LABEL = "label"
FEW = 100
"""Number of classes that is accepted for any number of sounds."""


def chosen(entries: Sequence[Entry], data: AudioData) -> list[Entry]:
    """Return the sounds whose label is in `data.only`, or all sounds if it is empty."""
    found = {str(entry.columns[LABEL]) for entry in entries if LABEL in entry.columns}
    only = {name for word in data.only for name in ((word,) if word in found else SHORT.get(word, (word,)))}
    for name in sorted(only - found):
        raise unknown("class", name, found, f"These are the classes in {data.path}; data.only selects from them.")
    return [entry for entry in entries if not only or str(entry.columns.get(LABEL)) in only]


def types_of(sounds: Sequence[Sound], data: AudioData) -> dict[str, str]:
    """Return the conditions of a data set: name -> "class", "number" or "embedding".

    The label is a condition by default if there are class folders (`labelled`). Other columns become conditions if
    data.conditions lists them: as "tempo", with the type of its values, or with an explicit type as "digit:class".

    Raises:
        UserError: A column does not exist, or its values do not have the specified type.
    """
    requested = dict(word.partition(":")[::2] for word in data.conditions)
    if LABEL not in requested and labelled(sounds, data):
        requested = {LABEL: "class", **requested}
    types = {}
    for name, specified in requested.items():
        values = [s.entry.columns[name] for s in sounds if name in s.entry.columns]
        if not values:
            columns = {column for sound in sounds for column in sound.entry.columns}
            raise unknown(
                "column", name, columns, f"These are the columns of {data.path}; data.conditions selects from them."
            )
        types[name] = specified or ("class" if name == LABEL else plain_type(values))
        check_type(name, types[name], values)
    return types


def labelled(sounds: Sequence[Sound], data: AudioData) -> bool:
    """Return whether the label of folders or of a table is a condition, by `data.labels`."""
    names = {str(s.entry.columns[LABEL]) for s in sounds if LABEL in s.entry.columns}
    loose = next((s.entry.name for s in sounds if LABEL not in s.entry.columns), None)
    if data.labels == "none" or (data.labels == "auto" and not data.only and (loose or len(names) < 2)):
        return False
    if loose:
        raise UserError(f"{data.path}: {loose} lies beside the class folders. Move it, or set data.labels=none.")
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


def check_type(name: str, kind: str, values: Sequence[Any]) -> None:
    """Raise UserError if the values of a column do not have the specified type."""
    odd: Any
    match kind:
        case "class":
            kinds = len(set(map(str, values)))
            if kinds > max(FEW, len(values) // 2):
                raise UserError(
                    f"Column {name} has {kinds} different values for {len(values)} sounds, too many for classes. To "
                    "condition on text, give embeddings: one .npy file per sound, of shape (N, width)."
                )
            odd = [value for value in values if isinstance(value, Place | dict | list)]
        case "number":
            odd = [value for value in values if not is_number(value)]
        case "embedding":
            odd = [value for value in values if not isinstance(value, Place)]
        case _:
            raise unknown(f"type of column {name}", kind, ("class", "number", "embedding"))
    if odd:
        shown = odd[0].path.name if isinstance(odd[0], Place) else repr(odd[0])
        raise UserError(f"Column {name} cannot have the type {kind}: it contains {shown}.")


def values_of(sound: Sound, types: Mapping[str, str]) -> dict[str, Any]:
    """Return the conditions of a sound: text, numbers, and the places of arrays."""
    read = {"class": str, "number": float, "embedding": lambda place: place}
    columns = sound.entry.columns
    return {name: read[kind](columns[name]) for name, kind in types.items() if name in columns}  # type: ignore[operator]


def vectors(place: Place) -> NDArray[Any]:
    """Return an embedding (N, width); raise ValueError for any other array."""
    with opened_bytes(place) as file:
        data = BytesIO(file.read())
    try:
        return checked_vectors(read_array(data, place.path), place.path.name)
    except UserError as error:
        raise ValueError(str(error)) from error


def embeddings(sounds: Sequence[Sound], types: Mapping[str, str], aside: Quarantine) -> dict[str, Embedding]:
    """Return the fields of the embedding columns, and exclude sounds whose array is unreadable or of another width.

    The commonest width is the field's width.

    Raises:
        UserError: A column has no usable array.
    """
    fields = {}
    for name in (name for name, kind in types.items() if kind == "embedding"):
        having = [sound for sound in sounds if name in sound.entry.columns]
        with ThreadPoolExecutor(THREADS, thread_name_prefix="polydiff-index") as pool:
            known = list(pool.map(size_of, (sound.entry.columns[name] for sound in having)))
        width = Counter(size[1] for size in known if not isinstance(size, str)).most_common(1)
        good = []
        for sound, size in zip(having, known, strict=True):
            if isinstance(size, str):
                aside.exclude(sound.entry.name, f"its {name}: {size}")
            elif size[1] != width[0][0]:
                aside.exclude(sound.entry.name, f"its {name} is {size[1]} wide, not {width[0][0]}")
            else:
                good.append(size)
        if not good:
            raise UserError(f"No array of column {name} can be used.\n{aside.text()}")
        numbers = sum(rows * wide for rows, wide, _ in good)
        scale = math.sqrt(sum(square for _, _, square in good) / numbers)
        fields[name] = Embedding(good[0][1], max(rows for rows, _, _ in good), scale or 1.0)
    return fields


def size_of(place: Place) -> tuple[int, int, float] | str:
    """Return N, width and the sum of squares of an embedding, or the reason why it cannot be read."""
    try:
        array = vectors(place)
    except Exception as error:  # noqa: BLE001 - it becomes the reason
        return why(error)
    rows, width = array.shape
    return rows, width, float(np.square(array, dtype=np.float64).sum())


def fields_of(
    values: Sequence[Mapping[str, Any]], weights: Sequence[int], types: Mapping[str, str], arrays: Mapping[str, Field]
) -> dict[str, Field]:
    """Return the fields of the conditions.

    Arguments:
        values: Conditions of each sound.
        weights: Number of training examples of each sound, 0 for held-out ones.
        types: Name of a condition -> its type.
        arrays: Fields of the embeddings, which are measured already.

    Raises:
        UserError: No training sound has a value for a condition.
    """
    for name in types:
        if not any(weight and name in row for row, weight in zip(values, weights, strict=True)):
            raise UserError(f"No training sound has a value in column {name}, which data.conditions names.")
    measures: dict[str, Callable[[Sequence[Any], Sequence[int]], Field]]
    measures = {"class": Labels.measure, "number": Real.measure}
    return {
        name: arrays[name] if name in arrays else measures[kind]([row.get(name) for row in values], weights)
        for name, kind in types.items()
    }
