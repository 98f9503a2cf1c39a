"""What a data set holds and whether it can be trained on, looked at without training: `polydiff data check`."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from polydiff.config import Config
from polydiff.domain import DomainSpec, conditions_of
from polydiff.errors import UserError
from polydiff.plugins import build_domain, discover, load, load_domain_spec, require
from polydiff.quarantine import PutsAside, Quarantine
from polydiff.settings import resolve

LOOKED = 20_000
"""Files whose names are looked at to tell what kind of data a folder holds."""


@dataclass
class Inspection:
    """What was found.

    Arguments:
        facts: What -> found, as JSON, in the order in which it is told.
        problems: What keeps it from being trained on; none: nothing does.
        advice: Keys of the configuration that suit the data, where nobody said any.
        quarantine: What is put aside; None where the domain does not say.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    advice: dict[str, Any] = field(default_factory=dict)
    quarantine: Quarantine | None = None

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        aside = self.quarantine.as_json() if self.quarantine else {}
        return {"facts": self.facts, "problems": self.problems, "advice": self.advice, **aside}


@runtime_checkable
class Inspects(Protocol):
    """A domain that can tell more of a data set than whether it can be opened."""

    @staticmethod
    def inspect(config: Config, said: Collection[str]) -> Inspection:
        """Return what `config.data` holds; `said` are the keys that the user gave, on which no advice is wanted."""


def inspect(domain: str, path: Path, words: Mapping[str, str]) -> Inspection:
    """Look at the data under a path as a domain would read them, with further keys of its configuration."""
    require(load_domain_spec(domain))
    config = resolve(domain, words={"data.path": str(path), **words}).config
    factory = load(load_domain_spec(domain).factory)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # all that they say is told in full
        return factory.inspect(config, words) if isinstance(factory, Inspects) else opened(config)


def opened(config: Config) -> Inspection:
    """Return what any domain tells of its data once it is open."""
    found = Inspection()
    try:
        domain = build_domain(config)
        found.facts |= {f"{split} examples": domain.size(split) for split in ("train", "test")}
        found.facts["conditions"] = {name: kind.words for name, kind in conditions_of(domain).items()}
        found.quarantine = domain.quarantine if isinstance(domain, PutsAside) else None
    except UserError as error:
        found.problems.append(str(error))
    return found


def guess(path: Path) -> str:
    """Return the domain whose kinds of file there are most of under a path."""
    if not path.exists():
        raise UserError(f"There is no {path}.")
    found = Counter(suffixes(path))
    votes = {p.spec.name: sum(found[s] for s in p.spec.suffixes) for p in discover(DomainSpec) if p.spec}
    best: list[str] = sorted(votes, key=lambda name: -votes[name])
    if not best or not votes[best[0]] or (len(best) > 1 and votes[best[0]] == votes[best[1]]):
        seen = ", ".join(f"{n} {suffix or 'without suffix'}" for suffix, n in found.most_common(5)) or "no file"
        raise UserError(f"What kind of data is {path} ({seen})? Say --domain NAME; `polydiff domains list` shows them.")
    return best[0]


def suffixes(path: Path) -> list[str]:
    """Return the suffixes of the files under a path, of many the first."""
    if path.is_file():
        return [path.suffix.lower()]
    found: list[str] = []
    for _, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(name).suffix.lower() for name in names if not name.startswith(".")]
        if len(found) > LOOKED:
            break
    return found
