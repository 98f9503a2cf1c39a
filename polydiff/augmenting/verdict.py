"""Whether synthetic examples help: means over seeds with intervals, and the rule that compares them.

The interval of a way to train is its mean over seeds ± `ERRORS` standard errors of this mean. The best way with
synthetic examples is compared with the best way without:

| intervals | verdict |
|---|---|
| the one with synthetic examples is better throughout: it lies above the other, or below for an error | gain |
| they overlap | no gain |
| the one with synthetic examples is worse throughout | no gain: worse |

With means of n seeds that have the same expected value and the same variance, the difference of two means exceeds
2 (s_1 + s_2) about 1 % of the time for n = 5. The best of three ways is chosen, so that "gain" by chance alone is rarer
than 4 %. The errors hold the variation between trainings, and not that of another held-out set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from polydiff.metrics.standard_error import Number, mean

ERRORS = 2.0
"""Half the length of an interval, in standard errors of the mean."""


SIGNS: Mapping[str, int] = {"higher": 1, "lower": -1}
"""Which way is better -> sign of a value for which more is better."""


class Way(NamedTuple):
    """What a small model is trained on.

    Attributes:
        real: Whether on the real examples.
        synthetic: Whether on synthetic examples.
        augmented: Whether examples are changed at random.
    """

    real: bool
    synthetic: bool
    augmented: bool


WAYS: Mapping[str, Way] = {
    "real": Way(True, False, False),
    "real, augmented": Way(True, False, True),
    "real + synthetic": Way(True, True, False),
    "real + synthetic, augmented": Way(True, True, True),
    "synthetic": Way(False, True, False),
}
"""Name -> way to train."""

Scores = Mapping[str, Sequence[float]]
"""Name of a way to train -> what was measured, for each seed."""


def interval(number: Number) -> tuple[float, float]:
    """Return the ends of a mean's interval."""
    return number.value - ERRORS * number.error, number.value + ERRORS * number.error


def best(scores: Scores, synthetic: bool, better: str = "higher") -> str:
    """Return the way with the best mean among those with synthetic examples, or among those without."""
    names = [name for name in scores if WAYS[name].synthetic == synthetic]
    return max(names, key=lambda name: SIGNS[better] * mean(scores[name]).value)


def verdict(scores: Scores, better: str = "higher") -> str:
    """Return "gain", "no gain", or "no gain: worse", by the rule of this module.

    Arguments:
        scores: Values of at least two seeds for each way.
        better: "higher" or "lower": which values are better.
    """
    ways = [best(scores, synthetic, better) for synthetic in (True, False)]
    with_synthetic, without = (interval(mean([SIGNS[better] * value for value in scores[way]])) for way in ways)
    if with_synthetic[0] > without[1]:
        return "gain"
    return "no gain: worse" if with_synthetic[1] < without[0] else "no gain"
