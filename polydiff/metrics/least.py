"""The fewest examples for which a metric of a set means something, and the reason that is given for fewer.

Below these numbers a metric is not measured: it would say more about the number of examples than about them.

| metric | fewest | why |
|---|---|---|
| frechet | 30 | the means and covariances of dozens of features are noise; the bias falls as 1/n |
| kernel | 30 | each of its ten subsets needs a few examples for its standard error |
| neighbours | 30 | the radius to the fifth neighbour spans much of a smaller set, so that anything lies inside |
| copies | 100 | the threshold is a quantile of 1 % of the held-out examples |
| judge | 20 | how often a classifier is right is not known from fewer held-out examples |
"""

from __future__ import annotations

import math
from collections.abc import Callable

FEWEST = {"frechet": 30, "kernel": 30, "neighbours": 30, "copies": 100, "judge": 20}
"""Kind of metric -> the fewest examples that it needs."""


def too_few(kind: str, n: int, things: str) -> str:
    """Return the reason why a metric of this kind has no value for n examples; "" if they suffice.

    Arguments:
        kind: A key of `FEWEST`.
        n: Number of examples that there are.
        things: What they are, such as "held-out images".
    """
    return f"it needs {FEWEST[kind]} {things}, there are {n}" if n < FEWEST[kind] else ""


def value_unless(reason: str, compute: Callable[[], float]) -> float:
    """Return `compute()`, or NaN where there is a reason why the number has no meaning."""
    return math.nan if reason else compute()
