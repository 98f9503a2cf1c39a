"""How samples of molecules are judged beside the data set and the user's conditions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from polydiff.contract.domain import Samples
from polydiff.domains.molecule.chemistry.composition import composition_metrics
from polydiff.domains.molecule.chemistry.properties import PROPERTIES
from polydiff.domains.molecule.conditions import Wishes, spread
from polydiff.domains.molecule.data.dataset import DataSet
from polydiff.domains.molecule.data.source import universe
from polydiff.domains.molecule.metrics import sample_set as metrics
from polydiff.domains.molecule.metrics.examine import Findings, examine, known_shapes
from polydiff.domains.molecule.metrics.sample_set import Reference
from polydiff.metrics.results import Measured, Metric

SHAPES = 1000
"""Training geometries whose bonds and angles those of samples are compared with."""


class Evaluation:
    """The judges of one data set.

    Arguments:
        dataset: What samples are compared with.
        wishes: Conditions, in their units.
    """

    def __init__(self, dataset: DataSet, wishes: Wishes) -> None:
        self.dataset, self.wishes, self.asking = dataset, wishes, wishes.asking
        self.judged: list[tuple[Samples, list[Findings]]] = []

    @cached_property
    def reference(self) -> Reference:
        """What samples are compared with."""
        data, splits = self.dataset.data, self.dataset.splits
        whole = frozenset(universe(data.max_heavy)) if data.name == "organic" else frozenset[str]()
        train, test = splits["train"], splits["test"]
        lengths, angles = known_shapes([train[i] for i in spread(len(train), SHAPES)])
        return Reference(frozenset(train.smiles), frozenset(test.smiles), whole, lengths, angles)

    def findings(self, samples: Samples) -> list[Findings]:
        """Return what judges find in samples; the findings of the last three sets are kept."""
        for seen, found in self.judged:
            if seen is samples:
                return found
        self.judged = [*self.judged[-2:], (samples, examine(samples.examples))]
        return self.judged[-1][1]

    def conditions(self, samples: Samples) -> dict[str, list[float]]:
        """Return the conditions of samples in their units."""
        return {} if samples.cond is None else self.wishes.physical(samples.cond)

    def evaluate(self, samples: Samples) -> dict[str, Metric]:
        """Return the metrics of samples."""
        requested = self.conditions(samples)
        properties = {name: requested[name] for name in self.asking.measured if name in requested}
        found = metrics.judge(self.findings(samples), self.reference, properties)
        if self.asking.given or not (requested and self.asking.elements):
            return found
        atoms = np.array([requested[symbol] for symbol in self.asking.symbols]).T
        return found | composition_metrics(samples.examples, atoms, self.asking.elements)

    def measures(self, samples: Samples) -> Mapping[str, Measured]:
        """Return, by property, what RDKit measures of samples, beside their conditions."""
        requested, findings = self.conditions(samples), self.findings(samples)
        first = [name for name in self.asking.measured if name in requested]
        return {
            name: Measured(
                [one.properties[name] for one in findings],
                requested.get(name, []),
                PROPERTIES[name].unit,
                PROPERTIES[name].meaning,
            )
            for name in dict.fromkeys([*first, *PROPERTIES])
        }
