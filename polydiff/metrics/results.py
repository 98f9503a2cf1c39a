"""Results of an evaluation: metrics with unit and standard error, confusion matrices, measured numbers of examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from polydiff.metrics.standard_error import Number


class Metric(NamedTuple):
    """One number of an evaluation.

    Attributes:
        value: The number; NaN if it has no meaning, for example without a valid sample.
        unit: Unit of the number; "" for a share between 0 and 1.
        better: "higher" or "lower".
        meaning: One sentence: what the number measures, how it is judged, what chance would give.
        error: Standard error of the value over samples (`polydiff.metrics.standard_error`); NaN: unknown.
        n: Number of examples that it is measured on; 0: all of the set.
        reason: Why there is no value, such as "it needs 50 images, there are 8" (`polydiff.metrics.least`); "": there
            is one, or the meaning says why.
    """

    value: float
    unit: str
    better: str
    meaning: str
    error: float = math.nan
    n: int = 0
    reason: str = ""

    @classmethod
    def of(cls, number: Number, unit: str, better: str, meaning: str) -> Metric:
        """Return a metric from a number with its standard error.

        Arguments:
            number: Value and standard error.
            unit: Unit of the number; "" for a share between 0 and 1.
            better: "higher" or "lower".
            meaning: One sentence on what the number measures.
        """
        return cls(number.value, unit, better, meaning, number.error)


class Confusion(NamedTuple):
    """A confusion matrix: how often examples of a requested class are recognised as each class.

    Attributes:
        requested: Names of the rows, the requested classes.
        seen: Names of the columns, the recognised classes; one may mean that no class is recognised.
        counts: Numbers of examples, [row][column].
    """

    requested: list[str]
    seen: list[str]
    counts: list[list[int]]

    @classmethod
    def of(cls, requested: Tensor, seen: Tensor, names: Sequence[str], further: Sequence[str] = ()) -> Confusion:
        """Return the confusion matrix of B examples.

        Arguments:
            requested: Requested class label of each example, shape (B,); examples with a negative label are left out.
            seen: Recognised class of each example, shape (B,): an index into `names` followed by `further`.
            names: Names of the classes.
            further: Names of further columns, such as one for "no class".
        """
        columns = [*names, *further]
        counts = [[0] * len(columns) for _ in names]
        for row, column in zip(requested.tolist(), seen.tolist(), strict=True):
            if row >= 0:
                counts[row][column] += 1
        return cls(list(names), columns, counts)


class Measured(NamedTuple):
    """A real number measured on each example.

    Attributes:
        values: Measured values, one an example; NaN for an example without this number.
        requested: Requested values, one an example; NaN if none was requested. Empty if the number is no condition.
        unit: Unit of both; "" for none.
        meaning: What the number is, in a few words.
    """

    values: Sequence[float]
    requested: Sequence[float]
    unit: str
    meaning: str
