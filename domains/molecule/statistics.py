"""The statistics in a checkpoint of molecules: types, ranges and measurement, and the codec that follows from them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from polydiff.contract.data.noise_range import PRINCIPAL
from polydiff.contract.data.statistics import FieldStatistics, Positive, Statistics
from polydiff.contract.fields import to_json
from polydiff.domains.molecule.codec import Codec, codec_of, measured_statistics
from polydiff.domains.molecule.conditions import ConditionSet, evenly_spaced
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data.dataset import DataSet
from polydiff.domains.molecule.data.described import described_columns, measure_described, rows_of
from polydiff.domains.molecule.graphs.codec import GraphCodec, graph_codec_of
from polydiff.domains.molecule.principal import principal_std

MOST_ATOMS = 10_000
"""Largest number of atoms of a training molecule that is believed."""
Often = Annotated[int, Field(ge=1, lt=10**15)]
Share = Annotated[float, Field(ge=0, le=1)]


class LetterStatistics(Statistics):
    """Statistics of a part of letters; `letters` are atomic numbers with formal charges.

    `valences` are rows (atomic number, sum of the orders of its bonds, charge of such atoms).
    """

    frequencies: Annotated[list[Share], Field(min_length=1)]
    letters: list[Annotated[list[int], Field(min_length=2, max_length=2)]] | None = None
    valences: list[Annotated[list[int], Field(min_length=3, max_length=3)]] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.letters is not None and len(self.letters) != len(self.frequencies):
            raise ValueError(f"letters has {len(self.letters)} entries, frequencies {len(self.frequencies)}")
        return self


class MoleculeStatistics(Statistics):
    """Statistics of molecules; checkpoints of earlier versions lack `sizes`. Only those with bonds have the last two.

    `conditions` and `described`, the value of each of these in each profile, are those of conditions that are text or
    classes.
    """

    elements: Annotated[list[Annotated[int, Field(ge=1, le=118)]], Field(min_length=1)]
    frequencies: list[Share]
    scale: Positive
    sizes: Annotated[list[Annotated[list[Often], Field(min_length=2, max_length=2)]], Field(min_length=1)] | None = None
    means: list[float]
    stds: list[Positive]
    profiles: Annotated[list[list[float | None]], Field(min_length=1)]
    conditions: FieldStatistics | None = None
    described: dict[str, list[str | None]] = Field({})
    atoms: LetterStatistics | None = None
    bonds: LetterStatistics | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if any(a >= b for a, b in pairwise(self.elements)):
            raise ValueError("elements should increase")
        if len(self.frequencies) != len(self.elements):
            raise ValueError(f"frequencies has {len(self.frequencies)} numbers for {len(self.elements)} elements")
        if abs(sum(self.frequencies) - 1) > 1e-3:
            raise ValueError(f"frequencies should add up to 1, not to {sum(self.frequencies):g}")
        if any(size > MOST_ATOMS for size, _ in self.sizes or ()):
            raise ValueError(f"sizes should be at most {MOST_ATOMS:,} atoms")
        if len(self.stds) != len(self.means):
            raise ValueError(f"stds has {len(self.stds)} numbers, but means has {len(self.means)}")
        if self.described.keys() != (self.conditions.root.keys() if self.conditions else set()):
            raise ValueError("described should hold the same conditions as conditions")
        for name, values in self.described.items():
            if len(values) != len(self.profiles):
                raise ValueError(f"described.{name} has {len(values)} values for {len(self.profiles)} profiles")
        for place, row in enumerate(self.profiles):
            if len(row) != 1 + len(self.means):
                raise ValueError(f"profiles.{place} has {len(row)} numbers instead of {1 + len(self.means)}")
            if row[0] is None or not (1 <= row[0] <= MOST_ATOMS and row[0] == int(row[0])):
                raise ValueError(f"profiles.{place} should begin with a number of atoms, not with {row[0]}")
        return self


def statistics_of(data: MoleculeData, dataset: DataSet) -> dict[str, Any]:
    """Return the statistics of the training geometries."""
    train = dataset.splits["train"]
    found = measured_statistics(train, data)
    columns = described_columns(data, dataset.library)
    found |= numbers_of(data, found, columns).measure(train)
    if columns:
        rows = rows_of(columns, train, evenly_spaced(len(train), len(found["profiles"])))
        found["conditions"] = to_json(measure_described(data, columns, dataset.splits))
        found["described"] = {name: [row.get(name) for row in rows] for name in columns}
    if data.bonded:
        found |= GraphCodec.measure(train)
    return found | ({PRINCIPAL: principal_std(train, codec_by(data, found))} if data.positions else {})


def codec_by(data: MoleculeData, statistics: Mapping[str, Any]) -> Codec | GraphCodec:
    """Return the codec of the states: of several parts for molecules with bonds."""
    return (graph_codec_of if data.bonded else codec_of)(data, statistics)


def numbers_of(data: MoleculeData, statistics: Mapping[str, Any], others: Collection[str]) -> ConditionSet:
    """Return the conditions that are numbers: those of `data.conditions` without `others`."""
    names = [name for word in data.conditions if (name := word.partition(":")[0]) not in others]
    return ConditionSet.of(names, statistics["elements"], data.types == "given")
