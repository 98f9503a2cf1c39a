"""Optional abilities of a `Domain` to compare examples with others, and with texts and what networks see in them.

See `polydiff.contract.abilities`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from polydiff.contract.domain import Samples
    from polydiff.core.conditions import Condition
    from polydiff.core.space import Batch


class Nearest(NamedTuple):
    """The nearest training example of each of N examples.

    Attributes:
        examples: N training examples with their conditions.
        distances: Their distances, (N,); NaN for an example that cannot be compared, whose entry means nothing.
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


class Encodes(Protocol):
    """A domain that turns decoded examples into states again, so that a network can judge samples of another one.

    Attributes:
        form: Size of an example in words, such as "images of 3 x 32 x 32"; runs of one form can judge each other.
    """

    @property
    def form(self) -> str: ...

    def encode(self, examples: Sequence[Any]) -> Batch:
        """Return N examples, as `Domain.decode` returns them, as clean states (N, ...) without conditions."""

    def encode_conditions(self, values: Sequence[Mapping[str, Any]]) -> Condition:
        """Return conditions as `Domain.describe` words them as tensors (N, ...); a name that is missing is not given.

        Words of a text that training lacks become "unknown", with a warning.

        Raises:
            UserError: A text is longer than those of training.
        """


class ShowsWeights(Protocol):
    """A domain that draws weights of places over examples, such as attention to a word, for `polydiff look`."""

    def show_weights(self, samples: Samples, weights: Tensor, captions: Sequence[str]) -> str:
        """Return an HTML fragment of examples with weights over them.

        Arguments:
            samples: B examples.
            weights: Numbers from 0, drawn not at all, to 1, drawn strongest, for the places of a state or of a coarser
                grid, (B, *sizes); of atoms (B, N), with any numbers beyond those of a molecule.
            captions: What the weights of each example are.
        """


class RelatesPlaces(Protocol):
    """A domain that knows kinds of pairs of places in its examples, such as atoms with a bond."""

    def relations(self, samples: Samples) -> Sequence[Mapping[str, Tensor]]:
        """Return, for each example, the name of a kind -> booleans (n, n), symmetric and False on the diagonal.

        Examples without such knowledge have no kinds.
        """


class LocatesWords(Protocol):
    """A domain that knows where in its examples the things are that words of their texts name."""

    def word_places(self, split: str, indices: Sequence[int]) -> Sequence[Mapping[str, Mapping[str, Tensor]]]:
        """Return, for each example, the kind of a word ("colour") -> word -> where the thing is that it names.

        A place is a mask of the grid of the state, booleans (*sizes). Words that name several things are missing.
        """
