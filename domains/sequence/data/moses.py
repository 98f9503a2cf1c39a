"""The molecules of MOSES as tables of SMILES, from the package molsets (Polykovskiy et al., 2020).

The package holds train.csv.gz, test.csv.gz and test_scaffolds.csv.gz, lists of SMILES below a heading. Molecules of the
scaffold test set have scaffolds that no training molecule has. Only these tables are read: nothing of the package is
unpacked, imported or run.
"""

from __future__ import annotations

import csv
import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import IO

from polydiff.support.errors import UserError, one_line

PACKAGE = "molsets"
FETCH = f"`pip download {PACKAGE} --no-deps` fetches the package; name the file that it writes."
"""Advice where there is no package."""
TABLES = {"train": "train.csv", "test": "test.csv", "test_scaffolds": "test_scaffolds.csv"}
"""Split -> name of its table, before .gz."""
INSIDE = "moses/dataset/data"
"""Folder of the tables in the package."""
LARGEST = 2**28
"""Largest size in bytes of a table, uncompressed."""
ABOUT = """\
# MOSES

SMILES of drug-like molecules: the training set, the test set, and the scaffold test set, whose scaffolds do not occur
in training. They come from the package molsets (https://github.com/molecularsets/moses), MIT licence, Copyright 2018
Insilico Medicine, Inc; the molecules are a selection of ZINC Clean Leads.

Polykovskiy, D., Zhebrak, A., Sanchez-Lengeling, B., et al. (2020). Molecular Sets (MOSES): A Benchmarking Platform for
Molecular Generation Models. Frontiers in Pharmacology 11, 565644. https://arxiv.org/abs/1811.12823
"""
"""Content of README.md."""


def prepare(file: Path | None, folder: Path, count: int | None = None) -> str:
    """Write train/train.csv, test/test.csv and test_scaffolds/test_scaffolds.csv, and return the counts, in words.

    Arguments:
        file: The package (.whl or .tar.gz), one of its tables (.csv or .csv.gz) with the others beside it, or a table
            of all with the columns SMILES and SPLIT; None: the installed package.
        folder: An empty folder.
        count: Largest number of molecules of each split, evenly spaced in the table; None: all.

    Raises:
        UserError: There is no package, it is damaged, or it lacks a table.
    """
    splits = read_splits(file)
    kept = {name: spaced(smiles, count) for name, smiles in splits.items()}
    for name, smiles in kept.items():
        path = folder / name / TABLES[name]
        path.parent.mkdir()
        path.write_text("\n".join(["smiles", *smiles, ""]), encoding="utf-8", newline="\n")
    (folder / "README.md").write_text(ABOUT, encoding="utf-8", newline="\n")
    numbers = ", ".join(f"{name} {len(smiles):,} of {len(splits[name]):,}" for name, smiles in kept.items())
    return (
        f"Molecules: {numbers}.\n\n{ABOUT.partition('# MOSES')[2].strip()}\n\nTrain on SMILES, or on graphs:\n"
        "  polydiff train --domain sequence data.judge=smiles data.path=DIR\n"
        "  polydiff train --domain molecule data.positions=false data.path=DIR"
    )


def spaced(smiles: Sequence[str], count: int | None) -> Sequence[str]:
    """Return up to `count` texts, evenly spaced; None: all."""
    if count is None or len(smiles) <= count:
        return smiles
    return [smiles[i * len(smiles) // count] for i in range(count)]


def read_splits(file: Path | None) -> dict[str, list[str]]:
    """Return split -> SMILES; argument and errors as of `prepare`."""
    try:
        contents = tables_of(file)
        lone = contents.get("")
        return in_splits(lone) if lone is not None else {name: smiles_of(contents[name]) for name in TABLES}
    except KeyError as error:
        lacking = TABLES[error.args[0]] + ".gz"
        raise UserError(f"{file or PACKAGE} lacks the table {lacking}. {FETCH}") from None
    except (OSError, EOFError, zlib.error, ValueError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise UserError(f"{file or PACKAGE} cannot be read: {one_line(error)}. {FETCH}") from error


def tables_of(file: Path | None) -> Mapping[str, bytes]:
    """Return split -> content of its table, uncompressed; "" stands for one table of all splits."""
    if file is None:
        return in_folder(installed())
    if file.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(file) as archive:
            found = ((name, archive.open(name)) for name in archive.namelist())
            return {split: unpacked(member) for split, member in chosen(found)}
    if file.name.endswith((".tar.gz", ".tgz")):
        with tarfile.open(file, "r:gz") as bundle:
            members = ((one.name, bundle.extractfile(one)) for one in bundle if one.isreg())
            return {split: unpacked(member) for split, member in chosen(members)}
    if not file.name.endswith((".csv", ".csv.gz")):
        raise UserError(f"{file} is neither a package (.whl, .tar.gz) nor a table (.csv, .csv.gz). {FETCH}")
    return in_folder(file.parent) if file.name.removesuffix(".gz") in TABLES.values() else {"": content(file)}


def chosen(members: Iterable[tuple[str, IO[bytes] | None]]) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield split and file of the tables among the members of an archive, pairs of name and file."""
    wanted = {f"{INSIDE}/{table}.gz": name for name, table in TABLES.items()}
    for name, member in members:
        split = next((split for end, split in wanted.items() if f"/{name}".endswith(f"/{end}")), "")
        if split and member is not None:
            yield split, member


def installed() -> Path:
    """Return the folder of the tables in the installed package.

    Raises:
        UserError: It is not installed.
    """
    try:
        return Path(str(metadata.distribution(PACKAGE).locate_file(INSIDE)))
    except metadata.PackageNotFoundError:
        raise UserError(f"MOSES comes with the package {PACKAGE}, which is not installed. {FETCH}") from None


def in_folder(folder: Path) -> dict[str, bytes]:
    """Return split -> content of the tables in a folder."""
    paths = {name: [folder / f"{table}.gz", folder / table] for name, table in TABLES.items()}
    present = {name: next((path for path in both if path.is_file()), None) for name, both in paths.items()}
    return {name: content(path) for name, path in present.items() if path}


def content(path: Path) -> bytes:
    """Return the content of a table, uncompressed."""
    with path.open("rb") as file:
        return unpacked(file) if path.suffix == ".gz" else file.read()


def unpacked(member: IO[bytes]) -> bytes:
    """Return the uncompressed bytes of a file; raise ValueError if they are more than `LARGEST`."""
    with gzip.open(member) as file:
        found = file.read(LARGEST + 1)
    if len(found) > LARGEST:
        raise ValueError(f"a table has more than {LARGEST:,} bytes")
    return found


def rows_of(table: bytes) -> csv.DictReader[str]:
    """Return the rows of a table by column; raise ValueError if it has no column SMILES."""
    reader = csv.DictReader(io.StringIO(table.decode("utf-8-sig")))
    reader.fieldnames = [name.strip().upper() for name in reader.fieldnames or ()]
    if "SMILES" not in reader.fieldnames:
        raise ValueError(f"a table has the columns {', '.join(reader.fieldnames) or 'none'}, not SMILES")
    return reader


def smiles_of(table: bytes) -> list[str]:
    """Return the SMILES of a table."""
    return [row["SMILES"] for row in rows_of(table) if row["SMILES"]]


def in_splits(table: bytes) -> dict[str, list[str]]:
    """Return split -> SMILES of one table with the columns SMILES and SPLIT; raise ValueError for another split."""
    found: dict[str, list[str]] = {name: [] for name in TABLES}
    for row in rows_of(table):
        split = row.get("SPLIT") or "none"
        if split not in found:
            raise ValueError(f"a row has the split {split}, which is not one of {', '.join(TABLES)}")
        found[split].append(row["SMILES"])
    return found
