"""Which samples are copies of training examples, by the nearest neighbours that a domain finds.

A sample counts as a copy if it is nearer to a training example than 99 % of the held-out examples are
(`polydiff.metrics.copies`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from polydiff.contract.domain import Domain, Samples
from polydiff.contract.likeness import FindsNearest
from polydiff.metrics.copies import copy_threshold

HELD_OUT = 200
"""Largest number of held-out examples on which the threshold is measured."""


@dataclass(frozen=True)
class CopyTest:
    """The distances of held-out examples, and the threshold that follows from them.

    Arguments:
        domain: Finds nearest training examples.
        held_out: Distance of each held-out example to its nearest training example, (M,).
        threshold: Distance below which a sample counts as a copy; NaN if there are too few held-out examples.
    """

    domain: FindsNearest
    held_out: Tensor
    threshold: float

    @classmethod
    def of(cls, domain: Domain, finder: FindsNearest, held_out: int = HELD_OUT) -> CopyTest:
        """Return the test of a domain, measured on up to so many held-out examples.

        Arguments:
            domain: Has the held-out examples.
            finder: The same domain, as what finds nearest training examples.
            held_out: Largest number of held-out examples.
        """
        distances = finder.nearest(domain.examples("test", held_out)).distances
        found = torch.tensor(list(distances), dtype=torch.float64)
        return cls(finder, found, copy_threshold(found))

    def near(self, distances: Tensor) -> Tensor:
        """Return which distances (N,) are those of copies, booleans (N,); without a threshold only 0."""
        return distances == 0 if math.isnan(self.threshold) else distances < self.threshold

    def distances(self, samples: Samples) -> Tensor:
        """Return the distance of each sample to its nearest training example, (N,); NaN if it cannot be compared."""
        return torch.tensor(list(self.domain.nearest(samples).distances), dtype=torch.float64)
