"""Whether synthetic examples help: means over seeds with intervals, and the rule that compares them.

The interval of a way to train is its mean over seeds ± `ERRORS` standard errors of this mean. The best way with
synthetic examples is compared with the best way without:

| intervals | verdict |
|---|---|
| the one with synthetic examples lies above the other | gain |
| they overlap | no gain |
| the one with synthetic examples lies below the other | no gain: worse |

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


class Way(NamedTuple):
    """What a classifier is trained on.

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


def best(scores: Scores, synthetic: bool) -> str:
    """Return the way with the greatest mean among those with synthetic examples, or among those without."""
    names = [name for name in scores if WAYS[name].synthetic == synthetic]
    return max(names, key=lambda name: mean(scores[name]).value)


def verdict(scores: Scores) -> str:
    """Return "gain", "no gain", or "no gain: worse", by the rule of this module.

    Arguments:
        scores: Values of at least two seeds for each way.
    """
    with_synthetic, without = (interval(mean(scores[best(scores, synthetic)])) for synthetic in (True, False))
    if with_synthetic[0] > without[1]:
        return "gain"
    return "no gain: worse" if with_synthetic[1] < without[0] else "no gain"
