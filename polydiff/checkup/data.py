"""Inspection of a data set before training, for `polydiff data check`: contents, excluded files, problems."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from polydiff.config.merge import resolve
from polydiff.contract.abilities import Inspection, Inspects, quarantine_of
from polydiff.contract.discover import build_domain, discover, load, load_domain_spec, require
from polydiff.contract.domain import DomainSpec, conditions_of
from polydiff.contract.sections import Config
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides

MAX_FILES = 20_000
"""Number of file names that are read to guess the domain of a folder."""


def inspect(domain: str, path: Path, words: Mapping[str, str]) -> Inspection:
    """Inspect the data under a path as a domain reads them.

    Arguments:
        domain: Name of the domain.
        path: Folder or file, the value of data.path.
        words: Further configuration keys, with values as text.
    """
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
    """Return the domain of most files under a path, by suffix. Raise UserError if no domain has the most."""
    if not path.exists():
        raise UserError(f"There is no {path}.")
    found = Counter(suffixes(path))
    votes = {p.spec.name: sum(found[s] for s in p.spec.suffixes) for p in discover(DomainSpec) if p.spec}
    best: list[str] = sorted(votes, key=lambda name: -votes[name])
    if not best or not votes[best[0]] or (len(best) > 1 and votes[best[0]] == votes[best[1]]):
        seen = ", ".join(f"{n} {suffix or 'without suffix'}" for suffix, n in found.most_common(5)) or "no file"
        raise UserError(f"The domain of {path} ({seen}) is unclear. Set --domain NAME (see `polydiff domains list`).")
    return best[0]


def suffixes(path: Path) -> list[str]:
    """Return the suffixes of the files under a path, reading about `MAX_FILES` names at most."""
    if path.is_file():
        return [path.suffix.lower()]
    found: list[str] = []
    for _, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(name).suffix.lower() for name in names if not name.startswith(".")]
        if len(found) > MAX_FILES:
            break
    return found
