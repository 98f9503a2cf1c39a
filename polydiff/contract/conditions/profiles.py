"""Profiles: the conditions of training examples, from which those of new samples are drawn together.

Columns of data depend on each other: the instrument and its family, a class and its caption. Values that are drawn one
by one would not fit together. A profile holds all values of one training example.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polydiff.contract.fields import Embedding, Field, Labels, Real
from polydiff.contract.text.tokenizers import words
from polydiff.core.conditions import ANY

KEPT = 1000
"""Most profiles of a data set."""
NEAREST = 32
"""Number of profiles with the most similar texts or numbers, if none has the requested one; more if some are equally
similar."""
Values = Mapping[str, Sequence[Any]]
"""Name of a condition -> its value in each profile, in the user's words; None if the example has none."""


def profiles_of(fields: Mapping[str, Field], row: Callable[[int], Mapping[str, Any]], weights: Sequence[int]) -> Values:
    """Return the profiles of a data set; {} if fewer than two of its conditions can be drawn.

    Each class occurs in one at least.

    Arguments:
        fields: Name of a condition -> its field.
        row: Number of an example -> its conditions; called for the profiles alone, since data may be unlimited.
        weights: How often each occurs in training; 0 for those held out.
    """
    names = [name for name, field in fields.items() if not isinstance(field, Embedding)]
    if len(names) < 2:
        return {}
    often = np.cumsum(np.asarray(weights, dtype=np.float64))
    count = min(KEPT, int(often[-1]))
    inside = 0.5 if count == often[-1] else np.random.default_rng(0).random(count)  # by chance: data may be periodic
    chosen = np.searchsorted(often, (np.arange(count) + inside) / count * often[-1], side="right").tolist()
    found = [row(place) for place in chosen]
    found += rare(fields, row, weights, found)
    return {name: [one.get(name) for one in found] for name in names}


def rare(
    fields: Mapping[str, Field],
    row: Callable[[int], Mapping[str, Any]],
    weights: Sequence[int],
    found: Sequence[Mapping[str, Any]],
) -> list[Mapping[str, Any]]:
    """Return training examples of the classes that those found lack, one of each; other arguments as above."""
    lacking = {
        name: {one for one, count in zip(field.names, field.counts, strict=True) if count}
        - {one.get(name) for one in found}
        for name, field in fields.items()
        if isinstance(field, Labels)
    }
    further: list[Mapping[str, Any]] = []
    for place in range(len(weights) if any(lacking.values()) else 0):
        one = row(place) if weights[place] else {}
        if any(one.get(name) in classes for name, classes in lacking.items()):
            further.append(one)
            lacking = {name: classes - {one.get(name)} for name, classes in lacking.items()}
    return further


@dataclass(frozen=True)
class Profiles:
    """Profiles of a data set.

    Arguments:
        fields: Name of a condition -> its field.
        values: The profiles.
    """

    fields: Mapping[str, Field]
    values: Values

    @cached_property
    def words_of(self) -> dict[str, list[frozenset[str]]]:
        """Name of a condition -> the words of its value in each profile."""
        return {name: [frozenset(words(str(one or ""))) for one in known] for name, known in self.values.items()}

    def at(self, places: Sequence[int]) -> list[dict[str, Any]]:
        """Return the values of profiles by their numbers."""
        return [{name: known[place] for name, known in self.values.items()} for place in places]

    def like(self, requested: Mapping[str, Any]) -> Tensor | None:
        """Return the profiles whose values suit those requested, booleans (n,); None if all do.

        Where no profile suits all of them, the later ones count; a value that suits no profile at all does not.
        """
        found: Tensor | None = None
        for name, value in requested.items():
            if name in self.values and str(value).strip() != ANY:
                near = self.suiting(name, value)
                if near.any():
                    found = near if found is None or not (found & near).any() else found & near
        return found

    def suiting(self, name: str, value: Any) -> Tensor:
        """Return the profiles with a value of a condition, or with those most similar to it, booleans (n,)."""
        match self.fields[name]:
            case Labels():
                return torch.tensor([one == str(value) for one in self.values[name]])
            case Real():
                known = torch.tensor([math.inf if one is None else one for one in self.values[name]])
                distance = (known - float(value)).abs()
                return (distance <= distance.sort().values[min(NEAREST, len(known)) - 1]) & distance.isfinite()
        texts, wanted = self.words_of[name], frozenset(words(str(value)))
        same = torch.tensor([one == wanted and bool(one) for one in texts])
        return same if same.any() else similar(wanted, texts)


def similar(wanted: frozenset[str], known: Sequence[frozenset[str]]) -> Tensor:
    """Return which texts are most similar to one, booleans (n,); each text is the set of its words.

    The similarity is the weight of the shared words divided by that of all words of both. Rare words weigh more.
    """
    counts = Counter(word for one in known for word in one)
    weights = {word: math.log(1 + len(known) / count) for word, count in counts.items()}
    scores = torch.tensor(
        [
            sum(weights[word] for word in one & wanted) / max(sum(weights.get(word, 0) for word in one | wanted), 1e-9)
            for one in known
        ]
    )
    least = scores.sort(descending=True).values[min(NEAREST, len(scores)) - 1]
    return (scores >= least) & (scores > 0)
