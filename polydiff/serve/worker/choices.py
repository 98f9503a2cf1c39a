"""What users can choose of samples: the conditions of a domain, with names of classes, ranges of numbers and texts.

They are found by two methods that every domain has: conditions are drawn as of new samples, and described.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import torch

from polydiff.contract.abilities import task_conditions
from polydiff.contract.domain import Domain, conditions_of
from polydiff.core.conditions import ANY, Classes, Kind, Number
from polydiff.core.streams import streams

DRAWN, FEWER = 512, 64
"""Samples whose conditions are drawn for the range of a number, and if some are texts, which an encoder may read."""
TEXTS = 12
"""Most texts that are kept as examples."""


@dataclass(frozen=True)
class Choice:
    """A condition that users can set.

    Arguments:
        name: Name of the condition.
        kind: "class": one of `values`; "number"; or "text", of which `values` are examples.
        values: Names of classes, or texts, as users write them.
        least: Least number that was drawn.
        most: Greatest number that was drawn.
        whole: Whether all numbers are whole.
    """

    name: str
    kind: Literal["class", "number", "text"]
    values: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    whole: bool = False


def choices(domain: Domain) -> list[Choice]:
    """Return the conditions of a domain that users can set by a word, a number or a text.

    Those that a task computes are left out, as are those of which no value is drawn, such as embeddings of arrays.
    """
    kinds = conditions_of(domain)
    wanted = [name for name in kinds if name not in task_conditions(domain)]
    if not wanted:
        return []
    plain = all(isinstance(kinds[name], Classes | Number) for name in wanted)
    rows = described(domain, DRAWN if plain else FEWER)
    found = (choice(domain, name, kinds[name], [row.get(name) for row in rows]) for name in wanted)
    return [one for one in found if one is not None]


def described(domain: Domain, n: int) -> list[dict[str, Any]]:
    """Return the conditions of n new samples in the user's words."""
    cond = domain.blank(streams(0, "choices", range(n)), {})[1]
    return domain.describe(cond) if cond else [{} for _ in range(n)]


def choice(domain: Domain, name: str, kind: Kind, drawn: Collection[Any]) -> Choice | None:
    """Return one condition as a choice; None if no value of it is known.

    Arguments:
        domain: Describes classes.
        name: Name of the condition.
        kind: Its kind.
        drawn: Values of new samples in the user's words.
    """
    if isinstance(kind, Classes):
        return Choice(name, "class", class_names(domain, name, kind))
    known = [value for value in drawn if value is not None and value != ANY]
    numbers = [float(value) for value in known if isinstance(value, int | float) and not isinstance(value, bool)]
    if numbers:
        whole = all(isinstance(value, int) for value in known)
        return Choice(name, "number", (), min(numbers), max(numbers), whole)
    texts = list(dict.fromkeys(str(value) for value in known))
    return Choice(name, "text", tuple(texts[:TEXTS])) if texts else None


def class_names(domain: Domain, name: str, kind: Classes) -> tuple[str, ...]:
    """Return the names of classes as users write them."""
    cond = domain.blank(streams(0, "choices", range(kind.count)), {})[1] or {}
    rows = domain.describe({**cond, name: torch.arange(kind.count)})
    return tuple(str(row[name]) for row in rows)
