"""What judges find: numbers with their units and errors, confusions of classes, measured numbers of examples."""

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
        value: The number; NaN where it has no meaning (no valid sample, say).
        unit: Its unit, "" for a share between 0 and 1.
        better: "higher" or "lower".
        meaning: One sentence: what it says, who judges, what chance would give.
        error: Standard error of the value over samples (`metrics.standard_error`), shown behind ±; NaN: not known.
    """

    value: float
    unit: str
    better: str
    meaning: str
    error: float = math.nan

    @classmethod
    def of(cls, number: Number, unit: str, better: str, meaning: str) -> Metric:
        """Return a number that knows its standard error as a metric."""
        return cls(number.value, unit, better, meaning, number.error)


class Confusion(NamedTuple):
    """How often judges take examples for each class.

    Attributes:
        asked: Names of the rows, what was asked for.
        seen: Names of the columns, what is seen or heard; one may stand for nothing.
        counts: Examples, [row][column].
    """

    requested: list[str]
    seen: list[str]
    counts: list[list[int]]

    @classmethod
    def of(cls, requested: Tensor, seen: Tensor, names: Sequence[str], further: Sequence[str] = ()) -> Confusion:
        """Count examples.

        Arguments:
            asked: Class asked of each (B,); those below 0 are left out.
            seen: What each is taken for (B,), counted through `names` and then `further`.
            names: Of the classes.
            further: Of what else there may be, such as nothing.
        """
        columns = [*names, *further]
        counts = [[0] * len(columns) for _ in names]
        for row, column in zip(requested.tolist(), seen.tolist(), strict=True):
            if row >= 0:
                counts[row][column] += 1
        return cls(list(names), columns, counts)


class Measured(NamedTuple):
    """A real number of each example, as judges measure it.

    Attributes:
        values: Measured, one an example; NaN where an example has none.
        asked: What each was asked for, NaN for nothing; empty for what cannot be asked for.
        unit: Of both, "" for none.
        meaning: What the number is, in a few words.
    """

    values: Sequence[float]
    requested: Sequence[float]
    unit: str
    meaning: str
