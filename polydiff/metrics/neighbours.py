r"""Precision, recall, density and coverage of a set of generated features, by nearest neighbours.

The ball of an example reaches to its k-th nearest neighbour in its own set. With real examples x_i, i <= M, generated
ones y_j, j <= N, and balls B_k,

$$ \mathrm{precision} = \frac{1}{N} \sum_j 1[y_j \in \bigcup_i B_k(x_i)], \qquad
   \mathrm{recall} = \frac{1}{M} \sum_i 1[x_i \in \bigcup_j B_k(y_j)], $$

$$ \mathrm{density} = \frac{1}{k N} \sum_{i, j} 1[y_j \in B_k(x_i)], \qquad
   \mathrm{coverage} = \frac{1}{M} \sum_i 1[\exists j: y_j \in B_k(x_i)] $$

(Kynkaanniemi et al., 2019, https://arxiv.org/abs/1904.06991, with k = 3; Naeem et al., 2020,
https://arxiv.org/abs/2002.09797, with k = 5). All four depend on N and M: smaller sets have larger balls. Compare them
only at equal numbers. Precision and recall of an outlier's large ball are high; density and coverage are less
sensitive to outliers.

Symbols: N and M numbers of examples, D number of features, k number of neighbours.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from polydiff.metrics.least import too_few
from polydiff.metrics.results import Metric
from polydiff.metrics.standard_error import Number, share

NEAR, FAR = 3, 5
"""k of precision and recall, and k of density and coverage, as published."""
CHUNK = 256
"""Rows of distances in memory at a time."""
SLACK = 1e-13
"""Rounding of squared distances, relative to the mean square of the real features; so copies lie in balls of size 0."""


class Overlap(NamedTuple):
    """How two sets of features overlap; each number is NaN where it has no meaning."""

    precision: Number
    recall: float
    density: float
    coverage: float


def overlap(features: Tensor, known: Tensor) -> Overlap:
    """Return precision, recall, density and coverage of generated features (N, D) against real ones (M, D).

    NaN if a set has no more examples than neighbours or holds a number that is not finite. The error of the
    precision is that of a share of N independent samples; it does not include the choice of the real examples.
    """
    finite = all(bool(x.isfinite().all()) for x in (features, known))
    if min(len(features), len(known)) <= FAR or not finite:
        return Overlap(Number(math.nan), math.nan, math.nan, math.nan)
    middle = known.double().mean(0)
    x, y = known.double() - middle, features.double() - middle
    slack = SLACK * float(x.square().sum(1).mean())
    near, far, own = ((r.square() + slack).sqrt() for r in (*radii(x, (NEAR, FAR)), *radii(y, (NEAR,))))
    inside, reached, within, covered = 0, 0, 0, 0
    for i in range(0, len(y), CHUNK):
        distances = torch.cdist(y[i : i + CHUNK], x)
        inside += int((distances <= near).any(1).sum())
        within += int((distances <= far).sum())
    for i in range(0, len(x), CHUNK):
        distances = torch.cdist(x[i : i + CHUNK], y)
        reached += int((distances <= own).any(1).sum())
        covered += int((distances.amin(1) <= far[i : i + CHUNK]).sum())
    n, m = len(y), len(x)
    return Overlap(share(inside, n), reached / m, within / (FAR * n), covered / m)


def radii(x: Tensor, ranks: tuple[int, ...]) -> list[Tensor]:
    """Return the distance of each of N features (N, D) to its k-th nearest neighbour, shape (N,), for each k < N."""
    parts = []
    for i in range(0, len(x), CHUNK):
        distances = torch.cdist(x[i : i + CHUNK], x)
        rows = torch.arange(len(distances))
        distances[rows, rows + i] = -1.0  # an example is no neighbour of itself, and stays first whatever the rounding
        parts.append(distances.topk(max(ranks) + 1, largest=False).values)
    nearest = torch.cat(parts)
    return [nearest[:, k] for k in ranks]


def overlap_metrics(features: Tensor, known: Tensor, what: str, on: str, prefix: str = "") -> dict[str, Metric]:
    """Return precision, recall, density and coverage as metrics, under these names with a prefix.

    Arguments:
        features: Features of generated examples, (N, D).
        known: Features of real training examples, (M, D).
        what: What the examples are, such as "images".
        on: The features in words, such as "the classifier's last hidden layer".
        prefix: Begins each name.
    """
    n, m = len(features), len(known)
    reason = too_few("neighbours", min(n, m), f"{what} of each set")
    found = overlap(features[:0] if reason else features, known)
    numbers = {
        "precision": (
            found.precision,
            f"Share of {n} {what} inside the balls of {m} training {what}, which reach to the {NEAR}rd neighbour, "
            f"on {on}: how many look real (Kynkaanniemi et al., 2019).",
        ),
        "recall": (
            Number(found.recall),
            f"Share of {m} training {what} inside such balls of the {n} {what}: how much of the variety is reached.",
        ),
        "density": (
            Number(found.density),
            f"Mean number of balls of {m} training {what}, reaching to the {FAR}th neighbour, that hold one of the {n} "
            f"{what}, divided by {FAR}: near 1 for real data, and more where {what} crowd at common kinds.",
        ),
        "coverage": (
            Number(found.coverage),
            f"Share of {m} training {what} with one of {n} {what} among their {FAR} nearest, on {on}; low if kinds of "
            f"{what} are missing or wrong.",
        ),
    }
    local = " It depends on both numbers: compare it with the column of real data."
    return {
        f"{prefix}{name}": Metric(number.value, "", "higher", meaning + local, number.error, n=n, reason=reason)
        for name, (number, meaning) in numbers.items()
    }
