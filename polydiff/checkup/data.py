"""Inspection of a data set before training, for `polydiff data check`: contents, excluded files, problems."""

from __future__ import annotations

import csv
import json
import os
import tarfile
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path

from polydiff.config.merge import resolve
from polydiff.contract.abilities import Inspection, Inspects, quarantine_of
from polydiff.contract.discover import build_domain, discover, load, load_domain_spec, require
from polydiff.contract.domain import conditions_of
from polydiff.contract.sections.run import Config
from polydiff.contract.spec import DomainSpec
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides

MAX_FILES = 20_000
"""Number of file names that are read to guess the domain of a folder."""


TABLES = frozenset({".csv", ".tsv", ".jsonl"})
"""Suffixes of tables, which files of any domain may lie beside."""
FILE_COLUMNS = ("path", "file")
"""Parts of the names of columns that name files, which may be of any domain."""
LINE = 2**16
"""Characters of a table's first line that are read."""


def inspect(domain: str, path: Path, words: Mapping[str, str]) -> Inspection:
    """Inspect the data under a path as a domain reads them.

    Arguments:
        domain: Name of the domain.
        path: Folder or file, the value of data.path.
        words: Further configuration keys, with values as text.

    Raises:
        UserError: There is no such path, or the configuration is wrong.
    """
    if not path.exists():
        raise UserError(f"There is no {path}.")
    require(load_domain_spec(domain))
    config = resolve(domain, words=words, values={"data.path": path}).config
    factory = load(load_domain_spec(domain).factory)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the inspection reports the same in full
        return factory.inspect(config, words) if provides(factory, Inspects) else opened(config)


def opened(config: Config) -> Inspection:
    """Inspect a domain without an inspection of its own: open it, and return its sizes and conditions."""
    found = Inspection()
    try:
        domain = build_domain(config)
        found.facts |= {f"{split} examples": domain.size(split) for split in ("train", "test")}
        found.facts["conditions"] = {name: kind.words for name, kind in conditions_of(domain).items()}
        found.quarantine = quarantine_of(domain)
    except UserError as error:
        found.problems.append(str(error))
    return found


def guess(path: Path) -> str:
    """Return the domain of most files under a path, by suffix, otherwise by the names of data sets' files.

    Raises:
        UserError: There is no such path, or the domain is unclear.
    """
    if not path.exists():
        raise UserError(f"There is no {path}.")
    specs = [plugin.spec for plugin in discover(DomainSpec) if plugin.spec]
    if path.is_file() and path.suffix.lower() in TABLES:
        return domain_of_table(path, specs)
    names = names_under(path)
    found = Counter(Path(name).suffix.lower() for name in names)
    sets = {spec.name: [name for name in names if claims(name, spec, bare=True)] for spec in specs}
    others = set(names).difference(*sets.values())
    if best := most_voted(Counter(Path(name).suffix.lower() for name in names if name in others), specs):
        return best
    named = [str(spec.name) for spec in specs if any(claims(name, spec, bare=False) for name in names)]
    known = named or [str(name) for name, files in sets.items() if files]
    if len(known) == 1:
        return known[0]
    seen = ", ".join(f"{n} {suffix or 'without suffix'}" for suffix, n in found.most_common(5)) or "no file"
    raise UserError(f"The domain of {path} ({seen}) is unclear. Set --domain NAME (see `polydiff domains list`).")


def claims(name: str, spec: DomainSpec, bare: bool) -> bool:
    """Return whether a file has the name of a data set of a domain; `bare`: or of any file, such as *.txt."""
    return any(fnmatch(name, one) for one in spec.files if bare or not one.startswith("*."))


def most_voted(found: Counter[str], specs: Sequence[DomainSpec]) -> str | None:
    """Return the domain that reads the most files, None if none does; tables count only where nothing else is read.

    Arguments:
        found: Suffix -> number of files.
        specs: The installed domains.
    """
    for kinds in (found.keys() - TABLES, found.keys()):
        votes = {spec.name: sum(found[s] for s in spec.suffixes if s in kinds) for spec in specs}
        best = sorted(votes, key=lambda name: -votes[name])
        if best and votes[best[0]]:
            return None if len(best) > 1 and votes[best[0]] == votes[best[1]] else best[0]
    return None


def domain_of_table(path: Path, specs: Sequence[DomainSpec]) -> str:
    """Return the domain of a table, by its columns.

    Raises:
        UserError: No column or several domains' columns are known, or the files beside the table are of another domain.
    """
    columns = columns_of(path)
    known = [spec.name for spec in specs if any(word in name.lower() for word in spec.columns for name in columns)]
    if len(known) == 1 and not any(word in name.lower() for word in FILE_COLUMNS for name in columns):
        return known[0]  # the table holds the data themselves, whatever lies beside it
    beside = most_voted(Counter(suffix for suffix in suffixes(path.parent) if suffix not in TABLES), specs)
    if len(known) == 1 and beside in (None, known[0]):
        return known[0]
    named = f"{path} is a table with the columns {', '.join(columns) or 'none'}"
    if beside and beside not in known:
        raise UserError(
            f"{named}, beside files of the domain {beside}. Check their folder, `polydiff data check {path.parent}`, "
            "or set --domain NAME if the table itself holds the data."
        )
    words = "; ".join(f"{spec.name}: {', '.join(spec.columns)}" for spec in specs if spec.columns)
    raise UserError(f"{named}, so its domain is unclear (known columns: {words}). Set --domain NAME.")


def columns_of(path: Path) -> list[str]:
    """Return the names of a table's columns from its first line, [] if it is neither text nor a table."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        line = file.readline(LINE)
    tabs = path.suffix.lower() == ".tsv"
    try:
        if path.suffix.lower() == ".jsonl":
            return list(row) if isinstance(row := json.loads(line), dict) else []
        return [name.strip() for name in next(csv.reader([line], delimiter="\t" if tabs else ","))]
    except (ValueError, StopIteration, RecursionError, csv.Error):
        return []


def members(archive: Path) -> list[str]:
    """Return the names of the members of a .tar archive, `MAX_FILES` at most, or its own if it cannot be read."""
    try:
        with tarfile.open(archive, "r:") as file:
            names = [member.name for member in islice(file, MAX_FILES) if member.isfile()]
    except (tarfile.TarError, OSError):  # the domain that reads it says why
        names = []
    return [Path(name).name for name in names] or [archive.name]


def suffixes(path: Path) -> list[str]:
    """Return the suffixes of the files under a path, of about `MAX_FILES` at most; an archive has those of members."""
    return [Path(name).suffix.lower() for name in names_under(path)]


def names_under(path: Path) -> list[str]:
    """Return the names of the files under a path without hidden ones, about `MAX_FILES` at most.

    A .tar archive has the names of its members; of several in a folder, the first is opened.
    """
    if path.is_file():
        return members(path) if path.suffix.lower() == ".tar" else [path.name]
    found: list[str] = []
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        shown = [Path(folder, name) for name in names if not name.startswith(".")]
        shards = [one for one in shown if one.suffix.lower() == ".tar"]
        found += [one.name for one in shown if one not in shards]
        found += members(min(shards)) if shards else []
        if len(found) > MAX_FILES:
            break
    return found
