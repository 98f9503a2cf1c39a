"""Drawing sizes and conditions for samples, given what a user requests.

A user may fix some conditions, such as log P, a formula or the number of atoms. The others are drawn from the profiles
of training geometries: one profile holds the size and all conditions of one geometry, so their joint distribution is
kept. If some conditions are fixed, the profile is drawn among the nearest ones.

Symbols: B samples, C conditions, n profiles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from polydiff.contract.fields import decimal_comma, warn_if_far
from polydiff.domains.molecule.chemistry.composition import (
    COMPOSITION,
    FORMULA,
    count_elements,
    expand_formula,
    symbols,
)
from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.chemistry.properties import PROPERTIES
from polydiff.domains.molecule.chemistry.sizes import ATOMS, check_atoms
from polydiff.domains.molecule.conditions import ConditionSet, known_values
from polydiff.support.errors import UserError, unknown

NEAREST_PROFILES = 32
"""Number of training geometries nearest to the fixed conditions, among which the other conditions are drawn."""
MAX_DEVIATIONS = 1000.0
"""Largest distance of a property from the training mean, in standard deviations, that a user can request."""


@dataclass(frozen=True)
class ConditionSampler:
    """A sampler of sizes and conditions.

    The columns of a profile are the number of atoms, then the C conditions in physical units.

    Arguments:
        condition_set: The conditions of the run.
        statistics: The result of `ConditionSet.measure`, with "elements", the atomic numbers of the training data.
        further: Names of the conditions of the run that are no numbers, which messages list.
    """

    condition_set: ConditionSet
    statistics: Mapping[str, Any]
    further: Sequence[str] = ()

    @cached_property
    def profiles(self) -> Tensor:
        """Profiles of training geometries, float64 (n, 1 + C); NaN where a value is unknown."""
        rows = [[math.nan if value is None else value for value in row] for row in self.statistics["profiles"]]
        return torch.tensor(rows, dtype=torch.float64)

    @property
    def largest(self) -> int:
        """Number of atoms of the largest profile."""
        return int(self.profiles[:, 0].max())

    @property
    def element_columns(self) -> range:
        """Columns of a profile that hold numbers of atoms of elements."""
        return range(1 + len(self.condition_set.properties), 1 + len(self.condition_set.names))

    def draw(self, generators: Sequence[torch.Generator], requested: Mapping[str, str]) -> tuple[Tensor, Tensor]:
        """Return the sizes (B,) and the conditions (B, C) of samples, as `draw_profiles` does."""
        return self.draw_profiles(generators, requested)[:2]

    def draw_profiles(
        self, generators: Sequence[torch.Generator], requested: Mapping[str, str], like: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the sizes (B,), the conditions (B, C) and the profiles (B,) of samples; NaN means unconditioned.

        If the composition is a condition, the size is the sum of the numbers of atoms of the elements. If no training
        molecule has the requested size, the composition is left unconditioned. A space that holds the elements needs
        them, so that case is then an error.

        Arguments:
            generators: One random generator for each sample.
            requested: Name -> text, such as {"logp": "1.5", "formula": "C4H10O", "C": "any"}.
            like: The profiles to draw from, booleans (n,), as long as some of them match; None: all.

        Raises:
            UserError: A name is unknown, a value is malformed or out of range, or the numbers contradict each other.
        """
        element_symbols = self.condition_set.symbols
        names = (ATOMS, *self.condition_set.names)
        self.check_names(requested, names)
        texts = expand_formula(requested, element_symbols)
        wanted = {
            names.index(name): parse_number(name, text, (ATOMS, *element_symbols)) for name, text in texts.items()
        }
        fixed = {column: value for column, value in wanted.items() if not math.isnan(value)}
        check_atoms(fixed.get(0, 1), self.largest)
        self.check_range(fixed)
        matching = self.matching_profiles(fixed)
        dropped = self.unconditioned_elements(wanted, fixed, matching)
        possible = matching if matching.any() and not dropped else torch.ones_like(matching)
        if like is not None and (possible & like).any():
            possible = possible & like
        near = self.nearest_profiles(possible.nonzero()[:, 0], fixed)
        places = near[[int(torch.randint(len(near), (), generator=g)) for g in generators]]
        rows = self.profiles[places]
        for column, value in fixed.items():
            rows[:, column] = value
        if element_symbols and not dropped:
            self.set_sizes(rows, fixed)
        any_property = [column for column in wanted if column not in fixed and column not in self.element_columns]
        rows[:, [*any_property, *dropped]] = math.nan
        return rows[:, 0].long(), rows[:, 1:], places

    def matching_profiles(self, fixed: Mapping[int, float]) -> Tensor:
        """Return which profiles have exactly the fixed element counts and the fixed size, booleans (n,).

        All profiles match if the composition is not a condition.
        """
        exact = [column for column in fixed if self.element_columns and (column == 0 or column in self.element_columns)]
        return (self.profiles[:, exact] == torch.tensor([fixed[c] for c in exact], dtype=torch.float64)).all(1)

    def unconditioned_elements(
        self, wanted: Mapping[int, float], fixed: Mapping[int, float], matching: Tensor
    ) -> Sequence[int]:
        """Return the element columns to leave unconditioned: all of them or none.

        Arguments:
            wanted: Column -> requested value, NaN for "any".
            fixed: Those of `wanted` that are numbers.
            matching: The result of `matching_profiles`.

        Raises:
            UserError: Elements must be drawn for the fixed size, and no training molecule matches.
        """
        columns = self.element_columns
        fixed_elements = [column for column in columns if column in fixed]
        if not fixed_elements and not self.condition_set.given and any(column in wanted for column in columns):
            return columns
        if 0 not in fixed or len(fixed_elements) == len(columns) or matching.any():
            return ()
        if not fixed_elements and not self.condition_set.given:
            return columns
        rest = "the other" if fixed_elements else "its"
        others = "".join(f" and {self.condition_set.names[column - 1]}={fixed[column]:g}" for column in fixed_elements)
        raise UserError(
            f"No training molecule has {fixed[0]:g} {ATOMS}{others}, so {rest} elements cannot be drawn. "
            f"Specify all elements, such as {FORMULA}=C4H10O."
        )

    def check_range(self, fixed: Mapping[int, float]) -> None:
        """Raise UserError if a property is more than `MAX_DEVIATIONS` standard deviations from the training mean.

        Warn if a property or a number of atoms is far outside of the training data.
        """
        for column in fixed.keys() - {0, *self.element_columns}:
            mean, std = (self.statistics[key][column - 1] for key in ("means", "stds"))
            if abs(fixed[column] - mean) > MAX_DEVIATIONS * std:
                raise UserError(
                    f"{self.condition_set.names[column - 1]}={fixed[column]:g} is more than {MAX_DEVIATIONS:g} "
                    f"standard deviations from the training data, {mean:.3g} ± {std:.3g}."
                )
        for column, value in sorted(fixed.items()):
            known = self.profiles[:, column].numpy()
            name = (ATOMS, *self.condition_set.names)[column]
            warn_if_far(name, value, known.tolist(), float(known_values(known).std()))

    def set_sizes(self, rows: Tensor, fixed: Mapping[int, float]) -> None:
        """Set the size of each row (B, 1 + C) to the sum of its element counts; raise UserError if one is not valid."""
        rows[:, 0] = rows[:, list(self.element_columns)].sum(1)
        smallest = float(rows[:, 0].min())
        if not 1 <= smallest == fixed.get(0, smallest):
            total = int(rows[0, 0])
            raise UserError(f"The numbers of the elements add up to {total}, which cannot be the number of {ATOMS}.")
        check_atoms(float(rows[:, 0].max()), self.largest)

    def draw_further_atoms(self, molecule: Molecule, n: int, generator: torch.Generator) -> list[int]:
        """Return n atomic numbers that complete a molecule to the composition of some training molecule.

        Raises:
            UserError: No training molecule has these atoms and n more.
        """
        elements, columns = self.condition_set.elements, list(self.element_columns)
        rest = self.profiles[:, columns] - torch.from_numpy(count_elements([molecule], elements))
        candidates = rest[(rest >= 0).all(1) & (rest.sum(1) == n)]
        if not len(candidates):
            raise UserError(
                f"No training molecule has these {len(molecule.numbers)} {ATOMS} and {n} more. Specify the elements to "
                "add, such as C2H4."
            )
        counts = candidates[int(torch.randint(len(candidates), (), generator=generator))].long()
        return [z for z, k in zip(elements, counts.tolist(), strict=True) for _ in range(k)]

    def check_names(self, requested: Mapping[str, str], names: Sequence[str]) -> None:
        """Raise UserError if a requested name is not a condition of this run."""
        elements = self.condition_set.elements
        known = (*names, *((FORMULA,) if elements else ()), *self.further)
        for name in requested:
            if name in known:
                continue
            of_composition = name in (FORMULA, COMPOSITION, *symbols(self.statistics["elements"]))
            key = COMPOSITION if of_composition else name
            if key == name == COMPOSITION and elements:
                raise UserError(f"{COMPOSITION} is specified as {FORMULA}=C2H6O or by element, such as C=2.")
            trainable = key in PROPERTIES or (key == COMPOSITION and not elements)
            hint = f"To use it, train a run with data.conditions=[{key}]." if trainable else ""
            raise unknown("condition", name, known, hint)

    def nearest_profiles(self, places: Tensor, fixed: Mapping[int, float]) -> Tensor:
        """Return which of the profiles at these places to draw from: all, or those nearest to the fixed conditions.

        The distance is Euclidean over the fixed columns, each in units of its standard deviation.
        """
        if not fixed:
            return places
        stds = torch.tensor([max(float(known_values(column).std()), 1e-9) for column in self.profiles.T.numpy()])
        columns, values = list(fixed), torch.tensor(list(fixed.values()), dtype=torch.float64)
        distance = ((self.profiles[places][:, columns] - values) / stds[columns]).square().sum(1)
        return places[distance.argsort(stable=True)[:NEAREST_PROFILES]]


def parse_number(name: str, text: str, counts: Sequence[str]) -> float:
    """Return the value that a user requests of a condition, NaN for "any".

    Arguments:
        name: Name of the condition.
        text: Its value.
        counts: Names of the conditions that are numbers of atoms, which must be whole.

    Raises:
        UserError: The text is not a number, or not a whole one that is large enough.
    """
    if text == "any" and name != ATOMS:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    least = 1 if name == ATOMS else 0
    if not math.isfinite(value) or (name in counts and (value < least or value != int(value))):
        kind = f"a whole number of at least {least}" if name in counts else "a number"
        raise UserError(f"{name}={text}: {name} must be {kind}.{decimal_comma(text)}")
    return value
