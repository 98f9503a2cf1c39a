"""What molecules can be asked to be: properties in their units, numbers of atoms of elements, and sizes.

All that is not asked for is drawn as in the data, from the profiles of training geometries near to what is.
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

from polydiff.core.conditions import Condition
from polydiff.domains.molecule.chemistry.composition import COMPOSITION, FORMULA, counted, spelled_out, symbols
from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.chemistry.perceive import hill
from polydiff.domains.molecule.chemistry.properties import PROPERTIES
from polydiff.domains.molecule.chemistry.sizes import ATOMS, check_atoms
from polydiff.domains.molecule.data.library import Library
from polydiff.support.errors import UserError, unknown

PROFILES = 2000
"""Most training geometries whose size and properties are kept, to draw new ones like them."""
NEAR = 32
"""Training geometries nearest to what is asked for, among which all that is not asked for is drawn."""
FAR = 1000.0
"""Standard deviations from the mean of training beyond which nothing can be asked for."""


@dataclass(frozen=True)
class Asking:
    """The conditions of molecules, C of them: properties, then the numbers of atoms of elements.

    Arguments:
        properties: Names of `PROPERTIES`, or of numbers that the data set says of its molecules.
        elements: Atomic numbers of which the atoms are counted; none where the composition cannot be asked for.
        given: Whether the space says which elements atoms are, so that the network need not be told their numbers.
    """

    properties: tuple[str, ...]
    elements: tuple[int, ...] = ()
    given: bool = False

    @classmethod
    def of(cls, conditions: Sequence[str], elements: Sequence[int], given: bool = False) -> Asking:
        """Return what the names of a configuration mean for data made of these elements."""
        properties = tuple(name for name in conditions if name != COMPOSITION)
        return cls(properties, tuple(elements) if given or COMPOSITION in conditions else (), given)

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """Of the elements that are counted."""
        return symbols(self.elements)

    @property
    def measured(self) -> tuple[str, ...]:
        """The properties that RDKit measures, on samples too."""
        return tuple(name for name in self.properties if name in PROPERTIES)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of what can be asked for."""
        return (*self.properties, *self.symbols)

    @property
    def conditions(self) -> tuple[str, ...]:
        """Of what a network is told, the first of the names."""
        return self.properties if self.given else self.names

    def values(self, part: Library, indices: Sequence[int]) -> np.ndarray:
        """Return what geometries are, in physical units, float64 (B, C); NaN where that is not known."""
        columns = [part.names.index(name) for name in self.properties]
        found = part.properties[np.ix_(list(indices), columns)].astype(np.float64)
        if not self.elements:
            return found
        return np.concatenate([found, counted([part[i] for i in indices], self.elements)], 1)

    def spelled(self, values: Tensor) -> Tensor:
        """Return the atomic numbers of all atoms, element by element in each molecule, of values (B, C)."""
        counts = values[:, len(self.properties) :].long()
        return torch.tensor(self.elements).repeat(len(counts)).repeat_interleave(counts.flatten())

    def measure(self, train: Library) -> dict[str, Any]:
        """Return {"means", "stds", "profiles"} of training geometries; a profile is [atoms, conditions ...] of one."""
        values, chosen = self.values(train, range(len(train))), spread(len(train), PROFILES)
        profiles = np.concatenate([train.sizes[chosen][:, None], values[chosen]], 1).tolist()
        return {
            "means": [float(known(column).mean()) for column in values.T],
            "stds": [deviation(column) for column in values.T],
            "profiles": [[None if math.isnan(v) else float(f"{v:.5g}") for v in row] for row in profiles],
        }


@dataclass(frozen=True)
class Wishes:
    """Conditions of networks, standardised, and in the words of people.

    Arguments:
        asking: What can be asked.
        statistics: What `Asking.measure` returned.
    """

    asking: Asking
    statistics: Mapping[str, Any]

    @cached_property
    def profiles(self) -> Tensor:
        """[atoms, conditions ...] of training geometries (n, 1 + C)."""
        rows = [[math.nan if value is None else value for value in row] for row in self.statistics["profiles"]]
        return torch.tensor(rows, dtype=torch.float64)

    @property
    def largest(self) -> int:
        """Atoms of the largest molecule of training."""
        return int(self.profiles[:, 0].max())

    def cond(self, values: Tensor) -> dict[str, Tensor] | None:
        """Return what the network is told of values (B, C) in their units, standardised; None where that is nothing."""
        means, stds = (torch.tensor(self.statistics[key], dtype=torch.float64) for key in ("means", "stds"))
        columns = ((values - means) / stds).float().unbind(1)
        return dict(zip(self.asking.conditions, columns, strict=False)) or None

    def physical(self, cond: Condition) -> dict[str, list[float]]:
        """Return conditions in their units; NaN where nothing was asked for."""
        numbers = zip(self.asking.conditions, self.statistics["means"], self.statistics["stds"], strict=False)
        return {name: (mean + std * cond[name].double()).tolist() for name, mean, std in numbers}

    def describe(self, cond: Condition) -> list[dict[str, Any]]:
        """Return each sample's conditions in the user's words."""
        columns = self.physical(cond)
        rows = zip(*columns.values(), strict=True)
        return [{name: self.word(name, value) for name, value in zip(columns, row, strict=True)} for row in rows]

    def caption(self, words: Mapping[str, Any]) -> str:
        """Return what one sample was asked to be as a line, its composition as a formula."""
        counts = {symbol: words[symbol] for symbol in self.asking.symbols if isinstance(words.get(symbol), int)}
        whole = len(counts) == len(self.asking.symbols) > 0
        told = {name: value for name, value in words.items() if not (whole and name in counts)}
        return ", ".join([*(f"{name} {value}" for name, value in told.items()), *([hill(counts)] if whole else [])])

    def word(self, name: str, value: float) -> str | float:
        """Return a condition's value as people are told it."""
        if math.isnan(value):
            return "any"
        return round(value) if name in self.asking.symbols else round(value, 3)

    def draw(self, generators: Sequence[torch.Generator], requested: Mapping[str, str]) -> tuple[Tensor, Tensor]:
        """Return sizes (B,), and conditions in their units (B, C) with NaN for what may be anything.

        Where the composition is a condition and no size is asked for, the size is the sum of its numbers; of a size
        that training lacks the composition may be anything.
        """
        words, symbols = (ATOMS, *self.asking.names), self.asking.symbols
        self.check_names(requested, words)
        meant = spelled_out(requested, symbols)
        wanted = {words.index(name): number(name, text, (ATOMS, *symbols)) for name, text in meant.items()}
        given = {column: value for column, value in wanted.items() if not math.isnan(value)}
        check_atoms(given.get(0, 1), self.largest)
        self.check_far(given)
        fits = self.fitting(given)
        untold = self.untold(wanted, given, fits)
        rows = self.nearest(self.profiles[fits] if fits.any() and not untold else self.profiles, given)
        rows = rows[[int(torch.randint(len(rows), (), generator=g)) for g in generators]]
        for column, value in given.items():
            rows[:, column] = value
        if symbols and not untold:
            self.add_up(rows, given)
        unknown = [column for column in wanted if column not in given and column not in self.counts]
        rows[:, [*unknown, *untold]] = math.nan
        return rows[:, 0].long(), rows[:, 1:]

    def fitting(self, given: Mapping[int, float]) -> Tensor:
        """Return which profiles have just the numbers of elements that are given, and with these the size, (n,)."""
        exact = [column for column in given if self.counts and (column == 0 or column in self.counts)]
        return (self.profiles[:, exact] == torch.tensor([given[c] for c in exact], dtype=torch.float64)).all(1)

    def untold(self, wanted: Mapping[int, float], given: Mapping[int, float], fits: Tensor) -> Sequence[int]:
        """Return the columns of elements where no number of them is told: all or none.

        Raises:
            UserError: Numbers must be drawn that add up to the size, and no molecule of training has such.
        """
        named = [column for column in self.counts if column in given]
        if not named and not self.asking.given and any(column in wanted for column in self.counts):
            return self.counts
        if 0 not in given or len(named) == len(self.counts) or fits.any():
            return ()
        if not named and not self.asking.given:
            return self.counts
        those = "".join(f" and {self.asking.names[column - 1]}={given[column]:g}" for column in named)
        raise UserError(
            f"No molecule of training has {given[0]:g} {ATOMS}{those}, so that elements for them cannot be drawn. "
            f"Say which, such as {FORMULA}=C4H10O."
        )

    def check_far(self, given: Mapping[int, float]) -> None:
        """Refuse numbers so far from all of training that a network could only break."""
        for column in given.keys() - {0, *self.counts}:
            mean, std = (self.statistics[key][column - 1] for key in ("means", "stds"))
            if abs(given[column] - mean) > FAR * std:
                raise UserError(
                    f"{self.asking.names[column - 1]}={given[column]:g} is more than {FAR:g} standard deviations from "
                    f"those of training, {mean:.3g} ± {std:.3g}."
                )

    @property
    def counts(self) -> range:
        """Columns of a profile that are numbers of atoms of elements."""
        return range(1 + len(self.asking.properties), 1 + len(self.asking.names))

    def add_up(self, rows: Tensor, given: Mapping[int, float]) -> None:
        """Make sizes the sums of the numbers of elements; another size that was asked for is an error."""
        rows[:, 0] = rows[:, list(self.counts)].sum(1)
        if not 1 <= float(rows[:, 0].min()) == given.get(0, float(rows[:, 0].min())):
            total = int(rows[0, 0])
            raise UserError(f"The numbers of elements add up to {total}, which cannot be the number of {ATOMS}.")
        check_atoms(float(rows[:, 0].max()), self.largest)

    def further(self, molecule: Molecule, n: int, generator: torch.Generator) -> list[int]:
        """Return atomic numbers that make of a molecule one of the composition of some molecule of training."""
        rest = self.profiles[:, list(self.counts)] - torch.from_numpy(counted([molecule], self.asking.elements))
        fitting = rest[(rest >= 0).all(1) & (rest.sum(1) == n)]
        if not len(fitting):
            raise UserError(
                f"No molecule of training has these {len(molecule.numbers)} {ATOMS} and {n} more. Say which to add, "
                "such as C2H4."
            )
        counts = fitting[int(torch.randint(len(fitting), (), generator=generator))].long()
        return [z for z, k in zip(self.asking.elements, counts.tolist(), strict=True) for _ in range(k)]

    def check_names(self, requested: Mapping[str, str], words: Sequence[str]) -> None:
        """Refuse to be asked for what is no condition of this run."""
        known = (*words, FORMULA) if self.asking.elements else tuple(words)
        own = symbols(self.statistics["elements"])
        for name in requested:
            if name not in known:
                key = COMPOSITION if name in (FORMULA, COMPOSITION, *own) else name
                if key == name == COMPOSITION and self.asking.elements:
                    raise UserError(f"{COMPOSITION} is asked for as {FORMULA}=C2H6O or by an element, such as C=2.")
                trainable = key in PROPERTIES or (key == COMPOSITION and not self.asking.elements)
                hint = f"It can be made one by training with data.conditions=[{key}]." if trainable else ""
                raise unknown("condition", name, known, hint)

    def nearest(self, profiles: Tensor, given: Mapping[int, float]) -> Tensor:
        """Return the profiles (n, 1 + C) to draw from: all, or those nearest to the numbers given of some columns."""
        if not given:
            return profiles
        spreads = torch.tensor([max(float(known(column).std()), 1e-9) for column in self.profiles.T.numpy()])
        columns, values = list(given), torch.tensor(list(given.values()), dtype=torch.float64)
        distance = ((profiles[:, columns] - values) / spreads[columns]).square().sum(1)
        return profiles[distance.argsort(stable=True)[:NEAR]]


def spread(size: int, n: int) -> list[int]:
    """Return min(n, size) indices, spread evenly."""
    n = min(n, size)
    return [i * size // n for i in range(n)]


def deviation(values: np.ndarray) -> float:
    """Return the standard deviation, or 1 of what is constant but for rounding."""
    found = float(known(values).std())
    return found if found > 1e-6 * max(1.0, float(np.abs(known(values)).max())) else 1.0


def known(values: np.ndarray) -> np.ndarray:
    """Return the numbers among values, 0 where there is none."""
    numbers: np.ndarray = values[~np.isnan(values)]
    return numbers if len(numbers) else np.zeros(1)


def number(name: str, text: str, whole: Sequence[str]) -> float:
    """Return the number that a user asks for, NaN for "any"; of atoms, a whole one, and above 0 in all."""
    if text == "any" and name != ATOMS:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    least = 1 if name == ATOMS else 0
    if not math.isfinite(value) or (name in whole and (value < least or value != int(value))):
        kind = f"a whole number of at least {least}" if name in whole else "a number"
        raise UserError(f"{name}={text}: {name} must be {kind}.")
    return value
