"""Conditions of molecules that are text or classes.

A training geometry's size, numbers and texts are drawn together. If a text is requested, the geometries are those with
the same words, or, where there are none, those whose texts share the most words with it.

Symbols: B samples, n profiles (`condition_sampler`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from polydiff.contract.data.conditions import DataConditions
from polydiff.contract.fields import Labels, from_json
from polydiff.contract.text.tokenizers import words
from polydiff.core.conditions import ANY

NEAREST_TEXTS = 32
"""Number of profiles with the most similar texts, if none has the requested one; more if some are equally similar."""


@dataclass(frozen=True)
class DescribedConditions(DataConditions):
    """The conditions of molecules that are text or classes.

    Arguments:
        fields: Name of a condition -> its field.
        profiles: Name of a condition -> its value in each profile, None if it has none.
    """

    profiles: Mapping[str, Sequence[str | None]] = field(default_factory=dict)

    @classmethod
    def of(cls, statistics: Mapping[str, Any]) -> DescribedConditions:
        """Return the conditions in a run's statistics."""
        return cls(from_json(statistics.get("conditions", {})), statistics.get("described", {}))

    @cached_property
    def words_of(self) -> dict[str, list[frozenset[str]]]:
        """Name of a condition -> the words of its value in each profile."""
        return {name: [frozenset(words(text or "")) for text in texts] for name, texts in self.profiles.items()}

    def requested(self, texts: Mapping[str, Any], n: int) -> dict[str, Tensor]:
        """Return the requested values of n samples as tensors (n, ...), by condition; UserError if one is unknown."""
        return {name: self.request(name, value, n) for name, value in texts.items()}

    def at(self, places: Tensor) -> dict[str, Tensor]:
        """Return the conditions of samples at profiles (B,), as tensors (B, ...) by condition."""
        rows = [{name: texts[place] for name, texts in self.profiles.items()} for place in places.tolist()]
        return self.encode(rows)

    def like(self, texts: Mapping[str, Any]) -> Tensor | None:
        """Return the profiles whose values suit those requested, booleans (n,); None if all do."""
        found: Tensor | None = None
        for name, value in texts.items():
            if str(value).strip() != ANY:
                near = self.suiting(name, str(value))
                found = near if found is None or not (found & near).any() else found & near
        return found if found is not None and found.any() else None

    def suiting(self, name: str, value: str) -> Tensor:
        """Return the profiles with a value of a condition, or with those most similar to a text, booleans (n,)."""
        if isinstance(self.fields[name], Labels):
            return torch.tensor([one == value for one in self.profiles[name]])
        known, wanted = self.words_of[name], frozenset(words(value))
        same = torch.tensor([one == wanted and bool(one) for one in known])
        return same if same.any() else similar(wanted, known)


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
    least = scores.sort(descending=True).values[min(NEAREST_TEXTS, len(scores)) - 1]
    return (scores >= least) & (scores > 0)
