"""Evaluation of samples against the data set and against the requested conditions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from polydiff.contract.domain import DataSamples, Samples
from polydiff.domains.molecule.chemistry.composition import composition_metrics, count_elements
from polydiff.domains.molecule.chemistry.properties import PROPERTIES, measure
from polydiff.domains.molecule.conditions import ConditionScaler, evenly_spaced
from polydiff.domains.molecule.config import SPATIAL
from polydiff.domains.molecule.data.dataset import DataSet
from polydiff.domains.molecule.data.source import enumerated_molecules
from polydiff.domains.molecule.metrics import sample_set as metrics
from polydiff.domains.molecule.metrics.examine import Findings, PerceivedSample, examine, measure_shapes
from polydiff.domains.molecule.metrics.own_bonds import BondReference, bond_metrics, examine_bonds
from polydiff.domains.molecule.metrics.sample_set import Reference
from polydiff.domains.molecule.moses.metrics import Compared
from polydiff.metrics.results import Measured, Metric

MAX_SHAPES = 1000
"""Largest number of training geometries whose bond lengths and angles samples are compared with."""


class Evaluation:
    """The metrics of samples for one data set.

    Arguments:
        dataset: The data that samples are compared with.
        scaler: Converts conditions to physical units.
    """

    def __init__(self, dataset: DataSet, scaler: ConditionScaler) -> None:
        self.dataset, self.scaler, self.condition_set = dataset, scaler, scaler.condition_set
        self.recent: list[tuple[Samples, list[Findings]]] = []

    @cached_property
    def universe(self) -> frozenset[str]:
        """Keys of all molecules that the data set's rule allows; empty if unknown."""
        data = self.dataset.data
        return frozenset(enumerated_molecules(data.max_heavy)) if data.name == "organic" else frozenset()

    @cached_property
    def reference(self) -> Reference:
        """The molecules and geometries that samples are compared with."""
        train, test = (self.dataset.splits[split] for split in ("train", "test"))
        lengths, angles = measure_shapes([train[i] for i in evenly_spaced(len(train), MAX_SHAPES)])
        return Reference(
            frozenset(train.smiles),
            frozenset(test.smiles),
            self.universe,
            lengths,
            angles,
            frozenset(train.perceived) - {""},
        )

    def findings(self, samples: Samples) -> list[Findings]:
        """Return the findings of each sample. Those of the last three sets of samples are cached."""
        for seen, found in self.recent:
            if seen is samples:
                return found
        self.recent = [*self.recent[-2:], (samples, examine(samples.examples))]
        return self.recent[-1][1]

    def conditions(self, samples: Samples) -> dict[str, list[float]]:
        """Return the conditions of samples in physical units; {} if they have none."""
        return {} if samples.cond is None else self.scaler.physical(samples.cond)

    def caption(self, one: PerceivedSample, described: Mapping[str, Any]) -> str:
        """Return the conditions that a sample was requested to have and, on a second line, what it has.

        Given elements stand on a line before them: a sample cannot have others.

        Arguments:
            one: The sample.
            described: Its conditions, an entry of `ConditionScaler.describe`.
        """
        given = self.condition_set.symbols if self.condition_set.given else ()
        requested = {name: value for name, value in described.items() if name not in given}
        names = [name for name in self.condition_set.measured if name in requested]
        values = [] if one.mol is None else measure(one.mol, names)
        counts = count_elements([one.molecule], self.condition_set.elements)[0].tolist()
        found = dict(zip(names, values, strict=False)) | dict(zip(self.condition_set.symbols, counts, strict=True))
        rounded = {name: self.scaler.rounded(name, value) for name, value in found.items() if name in requested}
        elements = {name: described[name] for name in given if name in described}
        lines = {"given": elements, "requested": requested, "measured": rounded}
        return "\n".join(f"{word} {self.scaler.caption(values)}" for word, values in lines.items() if values)

    def evaluate(self, samples: Samples) -> dict[str, Metric]:
        """Return the metrics of samples."""
        requested = self.conditions(samples)
        properties = {name: requested[name] for name in self.condition_set.measured if name in requested}
        found = self.own_metrics(samples) if self.dataset.data.bonded else {}
        if self.dataset.data.positions:
            found |= metrics.all_metrics(self.findings(samples), self.reference, properties)
        else:
            found |= self.graph_metrics(samples) | metrics.property_metrics(self.findings(samples), properties)
        if self.condition_set.given or not (requested and self.condition_set.elements):
            return found
        atoms = np.array([requested[symbol] for symbol in self.condition_set.symbols]).T
        return found | composition_metrics(samples.examples, atoms, self.condition_set.elements)

    @cached_property
    def bond_reference(self) -> BondReference:
        """The molecules that samples with bonds of their own are compared with."""
        train, test = (self.dataset.splits[split] for split in ("train", "test"))
        return BondReference.of(train, test, self.universe, evenly_spaced(len(train), MAX_SHAPES))

    def own_metrics(self, samples: Samples) -> dict[str, Metric]:
        """Return the metrics of samples by their own bonds."""
        return bond_metrics(examine_bonds(samples.examples), self.bond_reference, self.dataset.data.positions)

    @cached_property
    def compared(self) -> Compared:
        """The sets of molecules that graphs alone are compared with."""
        train, test = (self.dataset.splits[split] for split in ("train", "test"))
        return Compared(train.smiles, test.smiles, self.dataset.data.path, self.dataset.data.compared)

    def graph_metrics(self, samples: Samples) -> dict[str, Metric]:
        """Return the metrics of a set of graphs alone."""
        made = [one.perceived.smiles for one in self.findings(samples) if one.perceived.smiles]
        return self.compared.metrics(made, isinstance(samples, DataSamples))

    def compare(self, samples: Samples, truth: Samples) -> dict[str, Metric]:
        """Return how far samples, atom by atom, are from true molecules with as many atoms."""
        keys = [[one.perceived.key for one in self.findings(found)] for found in (samples, truth)]
        return metrics.pair_metrics(list(zip(samples.examples, truth.examples, strict=True)), *keys)

    def measures(self, samples: Samples) -> Mapping[str, Measured]:
        """Return, by property, the values that RDKit measures on samples, with the requested values."""
        requested, findings = self.conditions(samples), self.findings(samples)
        first = [name for name in self.condition_set.measured if name in requested]
        known = [name for name in PROPERTIES if self.dataset.data.positions or name not in SPATIAL]
        return {
            name: Measured(
                [one.properties[name] for one in findings],
                requested.get(name, []),
                PROPERTIES[name].unit,
                PROPERTIES[name].meaning,
            )
            for name in dict.fromkeys([*first, *known])
        }
