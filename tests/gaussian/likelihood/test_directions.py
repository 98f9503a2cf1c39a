"""Tests of `polydiff.gaussian.likelihood.directions`."""

from __future__ import annotations

import math

import torch
from likelihood_cases import F64
from torch.testing import assert_close

from polydiff.core.space import sqnorm
from polydiff.core.streams import streams
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.gaussian.likelihood.directions import diagonal, directions, signs


def test_directions_make_up_the_projector() -> None:
    """sum_k (P e_k)(P e_k)^T = P, its diagonal sums to the dimension, and signs have it as their mean square."""
    sizes = torch.tensor([1, 4, 2])
    for layout in (DenseMolecules, PackedMolecules):
        space = layout.of_sizes(sizes, 2, F64)
        x, y = (space.noise(streams(i, "x", range(3))) for i in (0, 1))
        inner = sum(space.sum(e * x) * space.sum(e * y) for e in directions(space, x))
        assert_close(inner, space.sum(x * y))
        assert_close(space.sum(diagonal(space, x)), space.dim)
        drawn = [signs(space, x, streams(i, "signs", range(3))) for i in range(800)]
        square = torch.stack([space.sum(z * x) ** 2 for z in drawn])
        error = square.std(0) / math.sqrt(len(drawn))
        assert ((square.mean(0) - sqnorm(space, x)).abs() < 4.5 * error + 1e-9).all()
