"""The conditions of molecules: properties in their units, and numbers of atoms of elements.

A network receives conditions standardised to mean 0 and standard deviation 1 over the training data. Users give and
read them in physical units.

Symbols: B molecules, C conditions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polydiff.core.conditions import ANY, Condition
from polydiff.domains.molecule.chemistry.composition import COMPOSITION, FORMULA, count_elements, symbols
from polydiff.domains.molecule.chemistry.perceive import hill_formula
from polydiff.domains.molecule.chemistry.properties import PROPERTIES
from polydiff.domains.molecule.data.library import Library

MAX_PROFILES = 2000
"""Largest number of training geometries whose size and conditions are kept as profiles."""


@dataclass(frozen=True)
class ConditionSet:
    """The conditions that a run can be given, C of them: properties, then the number of atoms of each element.

    Arguments:
        properties: Names of `PROPERTIES`, or of numeric columns of the data set.
        elements: Atomic numbers of the counted elements; empty if the composition is not a condition.
        given: Whether the space holds the elements of the atoms. The network then needs no element counts.
    """

    properties: tuple[str, ...]
    elements: tuple[int, ...] = ()
    given: bool = False

    @classmethod
    def of(cls, conditions: Sequence[str], elements: Sequence[int], given: bool = False) -> ConditionSet:
        """Return the conditions that `data.conditions` names as numbers.

        Arguments:
            conditions: Names of numbers from the configuration.
            elements: Atomic numbers that occur in the training data.
            given: Whether the space holds the elements of the atoms.
        """
        properties = tuple(name for name in conditions if name != COMPOSITION)
        return cls(properties, tuple(elements) if given or COMPOSITION in conditions else (), given)

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """Symbols of the counted elements."""
        return symbols(self.elements)

    @property
    def measured(self) -> tuple[str, ...]:
        """The properties that RDKit also measures on samples."""
        return tuple(name for name in self.properties if name in PROPERTIES)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the C conditions that a user can request."""
        return (*self.properties, *self.symbols)

    @property
    def network_names(self) -> tuple[str, ...]:
        """Names of the conditions that the network receives: the leading part of `names`."""
        return self.properties if self.given else self.names

    def values(self, part: Library, indices: Sequence[int]) -> np.ndarray:
        """Return the conditions of geometries in physical units, float64 (B, C); NaN where a value is unknown."""
        columns = [part.names.index(name) for name in self.properties]
        found = part.properties[np.ix_(list(indices), columns)].astype(np.float64)
        if not self.elements:
            return found
        return np.concatenate([found, count_elements([part[i] for i in indices], self.elements)], 1)

    def composed(self, requested: Mapping[str, str]) -> bool:
        """Return whether a request, name -> text, sets a formula or the number of atoms of an element."""
        return any(requested.get(name, ANY) != ANY for name in (FORMULA, *self.symbols))

    def atomic_numbers(self, values: Tensor) -> Tensor:
        """Return the atomic numbers (M,) of all atoms, sorted by element in each molecule, from values (B, C)."""
        counts = values[:, len(self.properties) :].long()
        return torch.tensor(self.elements).repeat(len(counts)).repeat_interleave(counts.flatten())

    def measure(self, train: Library) -> dict[str, Any]:
        """Return {"means", "stds", "profiles"} of training geometries; a profile is [atoms, conditions ...] of one."""
        values, chosen = self.values(train, range(len(train))), evenly_spaced(len(train), MAX_PROFILES)
        profiles = np.concatenate([train.sizes[chosen][:, None], values[chosen]], 1).tolist()
        return {
            "means": [float(known_values(column).mean()) for column in values.T],
            "stds": [standard_deviation(column) for column in values.T],
            "profiles": [[None if math.isnan(v) else float(f"{v:.5g}") for v in row] for row in profiles],
        }


@dataclass(frozen=True)
class ConditionScaler:
    """The map between conditions in physical units and the standardised conditions of the network.

    Arguments:
        condition_set: The conditions of the run.
        statistics: The result of `ConditionSet.measure`.
    """

    condition_set: ConditionSet
    statistics: Mapping[str, Any]

    def standardise(self, values: Tensor) -> dict[str, Tensor] | None:
        """Return the network's conditions, name -> (B,), from values (B, C) in physical units; None if it has none."""
        means, stds = (torch.tensor(self.statistics[key], dtype=torch.float64) for key in ("means", "stds"))
        columns = ((values - means) / stds).float().unbind(1)
        return dict(zip(self.condition_set.network_names, columns, strict=False)) or None

    def encode(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor] | None:
        """Return the network's conditions, name -> (B,), from those that a user writes; NaN where a row has none."""
        names = self.condition_set.names
        values = [[float(row.get(name, math.nan)) for name in names] for row in rows]
        return self.standardise(torch.tensor(values, dtype=torch.float64).reshape(len(rows), len(names)))

    def physical(self, cond: Condition) -> dict[str, list[float]]:
        """Return conditions in physical units, name -> B numbers; NaN where a sample is unconditioned."""
        numbers = zip(self.condition_set.network_names, self.statistics["means"], self.statistics["stds"], strict=False)
        return {name: (mean + std * cond[name].double()).tolist() for name, mean, std in numbers}

    def describe(self, cond: Condition) -> list[dict[str, Any]]:
        """Return the conditions of each sample as a user writes them, name -> value."""
        columns = self.physical(cond)
        rows = zip(*columns.values(), strict=True)
        return [{name: self.rounded(name, value) for name, value in zip(columns, row, strict=True)} for row in rows]

    def caption(self, described: Mapping[str, Any]) -> str:
        """Return one entry of `describe` as a line of text; a complete composition becomes a formula."""
        counts = {symbol: n for symbol in self.condition_set.symbols if isinstance(n := described.get(symbol), int)}
        complete = len(counts) == len(self.condition_set.symbols) > 0
        others = {name: value for name, value in described.items() if not (complete and name in counts)}
        return ", ".join(
            [*(f"{name} {quoted(value)}" for name, value in others.items()), *([hill_formula(counts)] * complete)]
        )

    def rounded(self, name: str, value: float) -> str | float:
        """Return a value as it is printed: "any" for NaN, an integer for an element, else three decimals."""
        if math.isnan(value):
            return "any"
        return round(value) if name in self.condition_set.symbols else round(value, 3)


def quoted(value: Any) -> str:
    """Return a value as text, in quotation marks if it has several words."""
    return f'"{value}"' if " " in str(value) else str(value)


def evenly_spaced(size: int, n: int) -> list[int]:
    """Return min(n, size) indices below `size`, evenly spaced."""
    n = min(n, size)
    return [i * size // n for i in range(n)]


def standard_deviation(values: np.ndarray) -> float:
    """Return the standard deviation of the known values, or 1 if they are constant up to rounding."""
    found = float(known_values(values).std())
    return found if found > 1e-6 * max(1.0, float(np.abs(known_values(values)).max())) else 1.0


def known_values(values: np.ndarray) -> np.ndarray:
    """Return the values that are not NaN, or one 0 if all are."""
    numbers: np.ndarray = values[~np.isnan(values)]
    return numbers if len(numbers) else np.zeros(1)
