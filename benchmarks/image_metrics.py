"""Metrics of feature sets beside torchmetrics, and beside definitions in numpy: python benchmarks/image_metrics.py.

Both libraries get the same features, float64. torchmetrics draws random subsets for its kernel distance, so its
function for one pair of subsets is called on the subsets that polydiff deals out. It has no precision, recall, density
or coverage: these are compared with numpy. Needs `pip install torchmetrics`, which polydiff does not need.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np
import torch
from cases import table
from numpy.typing import NDArray
from torch import Tensor, nn

from polydiff.metrics.frechet import frechet_distance
from polydiff.metrics.kernel import SUBSETS, kernel_distance
from polydiff.metrics.neighbours import FAR, NEAR, overlap

Array = NDArray[np.float64]
SIZES = ((500, 64), (1000, 64), (1000, 192))
"""(Number of examples of each set, number of features)."""


class Identity(nn.Module):
    """A feature extractor whose images are the features themselves, (B, D, 1, 1).

    Arguments:
        num_features: D.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


def torchmetrics_frechet(generated: Tensor, real: Tensor) -> float:
    """Return torchmetrics' Frechet distance of features (N, D)."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=Identity(real.shape[1]))
    metric.set_dtype(torch.float64)
    metric.update(real[:, :, None, None], real=True)
    metric.update(generated[:, :, None, None], real=False)
    return float(metric.compute())


def torchmetrics_kernel(generated: Tensor, real: Tensor) -> float:
    """Return the mean of torchmetrics' kernel distances over polydiff's subsets of features (N, D)."""
    from torchmetrics.image.kid import poly_mmd

    parts = [poly_mmd(real[i::SUBSETS], generated[i::SUBSETS]) for i in range(SUBSETS)]
    return float(torch.stack(parts).mean())


def squared_distances(a: Array, b: Array) -> Array:
    """Return all squared distances of features (N, D) and (M, D), as sums of squared differences, shape (N, M)."""
    return np.stack([((row - b) ** 2).sum(1) for row in a])


def numpy_overlap(generated: Tensor, real: Tensor) -> tuple[float, float, float, float]:
    """Return precision, recall, density and coverage of features (N, D) by their definitions."""
    y, x = generated.numpy(), real.numpy()
    among_x, among_y, across = squared_distances(x, x), squared_distances(y, y), squared_distances(x, y)
    near, far = (np.sort(among_x, 1)[:, k, None] for k in (NEAR, FAR))  # place 0 is the example itself
    own = np.sort(among_y, 1)[:, NEAR]
    return (
        float((across <= near).any(0).mean()),
        float((across <= own).any(1).mean()),
        float((across <= far).sum() / (FAR * len(y))),
        float((across <= far).any(1).mean()),
    )


def polydiff_overlap(generated: Tensor, real: Tensor) -> tuple[float, float, float, float]:
    """Return precision, recall, density and coverage of features (N, D)."""
    found = overlap(generated, real)
    return found.precision.value, found.recall, found.density, found.coverage


def features(n: int, d: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return features of two sets, rectified as those of networks are: generated ones are shifted and less varied."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(d, d)) / np.sqrt(d)
    real, generated = rng.normal(size=(n, d)), 0.1 + 0.9 * rng.normal(size=(n, d))
    return torch.from_numpy(np.maximum(generated @ mix, 0)), torch.from_numpy(np.maximum(real @ mix, 0))


def timed(compute: Callable[[Tensor, Tensor], object], sets: tuple[Tensor, Tensor]) -> tuple[object, float]:
    """Return the result of the second call and its seconds."""
    compute(*sets)
    began = perf_counter()
    return compute(*sets), perf_counter() - began


def rows(n: int, d: int) -> list[list[str]]:
    """Return a row for each metric at one size: both values, their relative difference, both times in ms."""
    sets, found = features(n, d), []
    pairs = [
        ("Frechet distance", frechet_distance, "torchmetrics", torchmetrics_frechet),
        ("KID", lambda a, b: kernel_distance(a, b).value, "torchmetrics", torchmetrics_kernel),
    ]
    for name, ours, peer, theirs in pairs:
        (a, a_time), (b, b_time) = timed(ours, sets), timed(theirs, sets)
        found.append((name, peer, float(a), float(b), a_time, b_time))
    (many, a_time), (other, b_time) = timed(polydiff_overlap, sets), timed(numpy_overlap, sets)
    for name, a, b in zip(("precision", "recall", "density", "coverage"), many, other, strict=True):
        found.append((name, "numpy", a, b, a_time, b_time))
    return [
        [
            f"{n} x {d}",
            name,
            peer,
            f"{a:.10g}",
            f"{b:.10g}",
            f"{abs(a / b - 1):.0e}",
            f"{1e3 * t:.0f}",
            f"{1e3 * s:.0f}",
        ]
        for name, peer, a, b, t, s in found
    ]


if __name__ == "__main__":
    heads = ["n x D", "metric", "peer", "polydiff", "peer's value", "relative difference", "ms", "peer's ms"]
    print(table(heads, [row for n, d in SIZES for row in rows(n, d)]))
