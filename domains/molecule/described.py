"""Conditions of molecules that are text or classes.

A training geometry's size, numbers and texts are drawn together. If a text is requested, the geometries are those with
the same words, or, where there are none, those whose texts share the most words with it.

Symbols: B samples, n profiles (`condition_sampler`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from polydiff.contract.conditions.data_conditions import DataConditions
from polydiff.contract.fields import from_json


@dataclass(frozen=True)
class DescribedConditions(DataConditions):
    """The conditions of molecules that are text or classes; their profiles are those of the other conditions."""

    @classmethod
    def of(cls, statistics: Mapping[str, Any]) -> DescribedConditions:
        """Return the conditions in a run's statistics."""
        return cls(from_json(statistics.get("conditions", {})), statistics.get("described", {}))

    def requested(self, texts: Mapping[str, Any], n: int) -> dict[str, Tensor]:
        """Return the requested values of n samples as tensors (n, ...), by condition; UserError if one is unknown."""
        return {name: self.request(name, value, n) for name, value in texts.items()}

    def at(self, places: Tensor) -> dict[str, Tensor]:
        """Return the conditions of samples at profiles (B,), as tensors (B, ...) by condition."""
        return self.encode(self.known.at(places.tolist()))

    def like(self, texts: Mapping[str, Any]) -> Tensor | None:
        """Return the profiles whose values suit those requested, booleans (n,); None if all do."""
        return self.known.like(texts)
