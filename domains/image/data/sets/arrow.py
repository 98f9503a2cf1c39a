"""Data sets of Hugging Face: folders that `save_to_disk` of the library `datasets` writes, and .parquet files.

Both are files of Apache Arrow, whose metadata name the kinds of the columns. They are read by pyarrow alone, so
`datasets` is not needed, and nothing is copied into a cache.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from polydiff.contract.data.columns import LABEL
from polydiff.contract.data.places import Place
from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.data.splits import NAMES
from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data.assemble import Read, assemble
from polydiff.domains.image.data.files import decode
from polydiff.domains.image.data.folder import decode_all
from polydiff.domains.image.data.layout import labelled_layout
from polydiff.domains.image.data.listing import Listing
from polydiff.domains.image.data.sets.parts import count_ignored, enough, holds_pictures, in_order
from polydiff.domains.image.data.source import Source
from polydiff.support.errors import UserError, one_line
from polydiff.support.files import files_under, read_json

SUFFIXES = frozenset({".parquet", ".arrow"})
STATE, SPLITS, INFO = "state.json", "dataset_dict.json", "dataset_info.json"
"""Files that `save_to_disk` writes."""
IMAGES = ("image", "img", "picture", "jpg", "png", "webp")
"""Columns that hold images where no metadata name their kind."""
LABELS = (LABEL, "labels", "fine_label")
"""Columns that are the class: the first that exists, otherwise the only column of classes."""
ROWS = 256
"""Rows of a .parquet file that are read at a time."""


class Table(NamedTuple):
    """A file: its path, its name in the data set, and the split that its name states, "" if none."""

    path: Path
    name: str
    split: str


class Cell(NamedTuple):
    """A row of a batch of pyarrow, and the batch's column of images."""

    images: Any
    row: int


def recognises(path: Path) -> bool:
    """Return whether a path is a .parquet or .arrow file, or a folder of them without pictures."""
    if path.is_file():
        return path.suffix.lower() in SUFFIXES
    if not path.is_dir():
        return False
    return (
        (path / STATE).is_file() or (path / SPLITS).is_file() or (not holds_pictures(path) and bool(parquet_in(path)))
    )


def parquet_in(path: Path) -> list[Path]:
    """Return the .parquet files of a folder: in it, or one or two folders below, as on the Hugging Face Hub."""
    return sorted(one for depth in range(3) for one in path.glob("*/" * depth + "*.parquet") if one.is_file())


def tables_of(path: Path) -> list[Table]:
    """Return the files of a data set with their splits.

    Raises:
        UserError: A file that the data set lists is missing.
    """
    if path.is_file():
        return [Table(path, path.name, split_of(path.name))]
    if (path / STATE).is_file():
        return listed_in(path, path, "")
    if (path / SPLITS).is_file():
        listed = read_json(path / SPLITS).get("splits")
        names = [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []
        if not names or not all(Path(n).name == n and (path / n / STATE).is_file() for n in names):
            raise UserError(f"{path / SPLITS} does not list folders of splits with a {STATE} in each.")
        return [table for name in names for table in listed_in(path / name, path, split_of(name))]
    own = parquet_in(path)
    return [
        Table(one, one.relative_to(path).as_posix(), split_of(one.name) or split_of(one.parent.name)) for one in own
    ]


def listed_in(folder: Path, root: Path, split: str) -> list[Table]:
    """Return the files of a folder that `save_to_disk` wrote."""
    listed = read_json(folder / STATE).get("_data_files")
    rows = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    names = [str(one.get("filename")) for one in rows]
    if not names or not all(Path(n).name == n and (folder / n).is_file() for n in names):
        raise UserError(f"{folder / STATE} does not list .arrow files (_data_files) that lie beside it.")
    return [Table(folder / name, (folder / name).relative_to(root).as_posix(), split) for name in names]


def split_of(name: str) -> str:
    """Return the split that a name such as train-00000-of-00001.parquet begins with, "" if none."""
    return NAMES.get(re.split(r"[^a-z]", name.lower())[0], "")


def read(data: ImageData) -> Source:
    """Return the data set; columns of one text or number for each image can become conditions.

    Raises:
        UserError: pyarrow is missing, a file is damaged, or no column holds images.
    """
    assert data.path is not None
    quarantine = Quarantine(str(data.path), "images")
    listing, cells, order = Listing(), dict[str, Cell](), dict[str, None]()
    tables = tables_of(data.path)
    for table in tables:
        add_table(table, listing, cells, order, quarantine)
    if data.path.is_dir():
        info = [one for one in files_under(data.path, {".json"}) if one.name in (STATE, SPLITS, INFO)]
        count_ignored(data.path, [*(one.path for one in tables), *info], quarantine)
    enough(data.path, len(cells))

    def picture(name: str) -> Read:
        return decode(io.BytesIO(bytes_of(cells[name])), data.square, data.planes)

    known = decode_all(list(cells), picture, data, quarantine)
    names = list(order) or in_order({str(row[LABEL]) for row in listing.columns.values() if LABEL in row})
    return assemble(known, listing, data, quarantine, partial(labelled_layout, order=names))


def add_table(
    table: Table, listing: Listing, cells: dict[str, Cell], order: dict[str, None], quarantine: Quarantine
) -> None:
    """Add the rows of a file.

    Arguments:
        table: The file.
        listing: Receives columns and splits.
        cells: Receives the place of each image.
        order: Receives the names of the classes.
        quarantine: Receives the number of images, and rows whose column `split` names none.
    """
    first = quarantine.found
    for batch in batches_of(table.path):
        features = features_of(batch.schema, table.path)
        image = image_column(batch.schema, features, table.path)
        label = label_column(batch.schema.names, features)
        order |= dict.fromkeys(classes_of(features.get(label, {})))
        plain = {
            name: batch.column(name).to_pylist()
            for name in batch.schema.names
            if name != image and is_plain(batch, name)
        }
        for row in range(batch.num_rows):
            name = f"{table.name}[{quarantine.found - first}]"
            quarantine.found += 1
            values = {column: in_words(cell[row], features.get(column, {})) for column, cell in plain.items()}
            if label in values:
                values = {LABEL: None if values[label] is None else str(values[label]), **values}
            known = {column: value for column, value in values.items() if value not in (None, "") and value == value}
            try:
                listing.add(name, Place(table.path), known, table.split)
            except ValueError as error:
                quarantine.exclude(name, str(error))
                continue
            cells[name] = Cell(batch.column(image), row)


def batches_of(path: Path) -> Iterator[Any]:
    """Yield the batches of a file.

    Raises:
        UserError: pyarrow is missing, or the file is damaged.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UserError(
            f'{path} needs pyarrow: pip install "polydiff[arrow]". (`import pyarrow` says: {error})'
        ) from error
    try:
        if path.suffix.lower() == ".parquet":
            with pq.ParquetFile(path) as file:
                yield from file.iter_batches(batch_size=ROWS)
            return
        source = pa.memory_map(str(path))
        try:
            yield from pa.ipc.open_stream(source)
        except pa.ArrowInvalid:
            file = pa.ipc.open_file(source)
            yield from (file.get_batch(i) for i in range(file.num_record_batches))
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} cannot be read as a file of Apache Arrow: {one_line(error)}.") from error


def features_of(schema: Any, path: Path) -> dict[str, dict[str, Any]]:
    """Return column -> what `datasets` says of it, in the metadata of the file or in dataset_info.json beside it."""
    stored = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        value = json.loads(stored)
        features = value.get("info", {}).get("features") or read_json(path.parent / INFO).get("features") or {}
        return {str(name): one for name, one in features.items() if isinstance(one, dict)}
    except (ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: its metadata on columns are damaged: {one_line(error)}.") from error


def image_column(schema: Any, features: Mapping[str, Mapping[str, Any]], path: Path) -> str:
    """Return the column of images: the first of kind Image, or one of `IMAGES` that holds bytes."""
    import pyarrow as pa

    def holds_bytes(kind: Any) -> bool:
        if pa.types.is_struct(kind):
            return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    known = [name for name in schema.names if features.get(name, {}).get("_type") == "Image"]
    known += [name for name in IMAGES if name in schema.names]
    for name in known:
        if holds_bytes(schema.field(name).type):
            return str(name)
    columns = ", ".join(f"{name} ({schema.field(name).type})" for name in schema.names)
    raise UserError(f"{path} has no column of images with the bytes of their files. Its columns: {columns}.")


def label_column(names: Sequence[str], features: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the column of the class, "" if there is none."""
    classes = [name for name in names if features.get(name, {}).get("_type") == "ClassLabel"]
    return next((name for name in LABELS if name in names), classes[0] if len(classes) == 1 else "")


def classes_of(feature: Mapping[str, Any]) -> list[str]:
    """Return the names of a column of classes, [] for another column."""
    names = feature.get("names") if feature.get("_type") == "ClassLabel" else None
    return [str(name) for name in names] if isinstance(names, list) else []


def is_plain(batch: Any, name: str) -> bool:
    """Return whether a column holds texts, numbers or lists of texts."""
    import pyarrow as pa

    kind = batch.schema.field(name).type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
    kinds = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_boolean,
    )
    return any(check(kind) for check in kinds)


def in_words(value: Any, feature: Mapping[str, Any]) -> Any:
    """Return the value of a cell: the name of a class, the first of several texts; None for a negative class."""
    names = classes_of(feature)
    if names and isinstance(value, int):
        return names[value] if 0 <= value < len(names) else None
    if isinstance(value, list):
        return next((one for one in value if one), None)
    return int(value) if isinstance(value, bool) else value


def bytes_of(cell: Cell) -> bytes:
    """Return the bytes of an image's file; raise ValueError if the data set holds only its path."""
    value = cell.images[cell.row].as_py()
    content = value.get("bytes") if isinstance(value, dict) else value
    if content is None:
        where = value.get("path") if isinstance(value, dict) else None
        raise ValueError(f"the data set holds only the path of its file, {where}" if where else "it is empty")
    return bytes(content)
