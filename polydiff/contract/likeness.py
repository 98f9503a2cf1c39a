"""The optional ability of a `Domain` to find training examples that are like others; see `contract.abilities`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from polydiff.contract.domain import Samples


class Nearest(NamedTuple):
    """The nearest training example of each of N examples.

    Attributes:
        examples: N training examples with their conditions.
        distances: Their distances, (N,).
        typical: Median distance of held-out examples to their nearest training example; NaN: unknown.
        meaning: What the distance compares, in a few words, such as "thumbnails of 16 x 16 pixels".
    """

    examples: Samples
    distances: Sequence[float]
    typical: float
    meaning: str


class FindsNearest(Protocol):
    """A domain that finds the training examples nearest to others; the report shows them beside samples."""

    def nearest(self, samples: Samples) -> Nearest:
        """Return the nearest training example of each of N examples."""
