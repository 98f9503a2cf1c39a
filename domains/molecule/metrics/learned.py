r"""What a small regression learns from molecules: its mean absolute error on held-out ones.

A ridge regression (Hoerl & Kennard, 1970, https://doi.org/10.1080/00401706.1970.10488634) predicts one property y of a
molecule from the numbers x of its fragments (`polydiff.domains.molecule.metrics.nearest`). It minimises

    sum_i u_i (y_i - w x_i - b)^2 + a |w|^2,

with a penalty a that predicts molecules left out best. The weights u_i are drawn anew for each seed from the
exponential law, the Bayesian bootstrap (Rubin, 1981, https://doi.org/10.1214/aos/1176345338): so all molecules are
used, and the results of seeds scatter as those of other molecules of the same law would.

A property that RDKit computes is computed for the molecule itself, real or synthetic. The value of a column is known
for real molecules only, so that of a synthetic one is the condition that it was generated with.

Symbols: N different molecules; geometries of one molecule are one example, with the mean of their values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from polydiff.contract.domain import Samples
from polydiff.core.streams import stream
from polydiff.domains.molecule.chemistry.properties import PROPERTIES, measure
from polydiff.domains.molecule.conditions import ConditionScaler
from polydiff.domains.molecule.metrics.examine import PerceivedSample, read_known
from polydiff.domains.molecule.metrics.nearest import BITS, fragment_counts
from polydiff.support.errors import UserError, amount

HELD_OUT = 2048
"""Largest number of held-out geometries whose molecules are predicted."""
USUAL = "logp"
"""The property of data without conditions that are numbers."""
PENALTIES = np.logspace(-3, 3, 13)
"""Penalties a that are tried, for weights of mean 1."""


class Examples(NamedTuple):
    """Molecules as a regression sees them.

    Attributes:
        counts: Numbers of fragments, (N, BITS).
        values: Values of the property, (N,).
    """

    counts: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class PropertyJudge:
    """Judges molecules by how well their property is predicted for others.

    Arguments:
        scaler: Names the conditions, the first of which is the property.
        test: Held-out molecules.
        known: Sets of molecules that were read before, by the identity of their object.
    """

    scaler: ConditionScaler
    test: Samples
    known: dict[int, tuple[Samples, Examples]] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """Name of the property: the first condition of the run that is a number."""
        return next(iter(self.scaler.condition_set.properties), USUAL)

    @property
    def learns(self) -> str:
        """What is measured."""
        unit = PROPERTIES[self.target].unit if self.target in PROPERTIES else ""
        n = len(self.examples(self.test).values)
        return (
            f"mean absolute error of {self.target}{f' in {unit}' if unit else ''}, predicted from fragments, "
            f"on {amount(n, 'held-out molecule')}"
        )

    def examples(self, samples: Samples) -> Examples:
        """Return the molecules whose property is known; a set is read once, as many trainings use it."""
        if id(samples) not in self.known:
            self.known[id(samples)] = (samples, self.examples_of(samples))
        return self.known[id(samples)][1]

    def examples_of(self, samples: Samples) -> Examples:
        """Return the molecules whose property is known."""
        found: dict[str, list[float]] = {}
        read = read_known(samples.examples)
        for one, value in zip(read, self.values(samples, read), strict=True):
            if one.key is not None and not math.isnan(value):
                found.setdefault(one.key, []).append(value)
        counts = [fragment_counts(key) for key in found]
        return Examples(
            np.array(counts, np.float64).reshape(len(found), BITS), np.array([np.mean(v) for v in found.values()])
        )

    def values(self, samples: Samples, read: Sequence[PerceivedSample]) -> list[float]:
        """Return the property of each sample, NaN if it is unknown."""
        if self.target in PROPERTIES:
            return [math.nan if one.mol is None else measure(one.mol, [self.target])[0] for one in read]
        return self.scaler.physical(samples.cond or {})[self.target]

    def error(self, sets: Sequence[Samples], seed: int) -> float:
        """Return the mean absolute error on held-out molecules; NaN if the property is known of none.

        Arguments:
            sets: Sets of molecules; each has the same sum of weights u_i.
            seed: Of the weights.

        Raises:
            UserError: A set has no molecule whose property is known.
        """
        from sklearn.linear_model import RidgeCV

        test, known = self.examples(self.test), [self.examples(of) for of in sets]
        for samples, of in zip(sets, known, strict=True):
            if not len(of.values):
                raise UserError(
                    f"{self.target} is unknown for all of {amount(len(samples), 'molecule')}, so nothing can be "
                    "learned from them. Judge with more molecules, or name another condition first in data.conditions."
                )
        if not len(test.values):
            return math.nan
        counts, values = (np.concatenate(parts) for parts in zip(*known, strict=True))
        fit = RidgeCV(PENALTIES).fit(counts, values, weights([len(of.values) for of in known], seed))
        return float(np.abs(fit.predict(test.counts) - test.values).mean())


def weights(sizes: Sequence[int], seed: int) -> np.ndarray:
    """Return random weights u of all molecules, of mean 1, in which each set has the same share.

    Arguments:
        sizes: Number of molecules of each set.
        seed: Random seed.
    """
    drawn = [
        torch.empty(n, dtype=torch.float64).exponential_(generator=stream(seed, "molecule/learned", i)).numpy()
        for i, n in enumerate(sizes)
    ]
    return np.concatenate([sum(sizes) / len(sizes) * one / one.sum() for one in drawn])
