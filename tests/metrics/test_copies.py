"""Nearest neighbours against all distances; the share of copies of training data among samples."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from polydiff.metrics.copies import copy_share, copy_threshold, nearest


def points(n: int, seed: int) -> Tensor:
    return torch.randn(n, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_nearest_distance_is_the_smallest_of_all() -> None:
    x, known = points(300, 0), points(500, 1)
    truth = (x[:, None] - known).norm(dim=2).amin(1)
    torch.testing.assert_close(nearest(x, known), truth)


@given(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_the_share_of_copies_is_found(share: float) -> None:
    known, held_out = points(1000, 2), points(400, 3)
    near = copy_threshold(nearest(held_out, known))
    fresh, n = points(1000, 4), int(1000 * share)
    samples = torch.cat([known[:n] + 1e-3 * fresh[:n], fresh[n:]])
    assert copy_share(nearest(samples, known), near) == pytest.approx(share + 0.01 * (1 - share), abs=0.02)
    assert copy_share(nearest(held_out, known), near) == pytest.approx(0.01)


def test_without_a_threshold_the_share_of_copies_is_nan() -> None:
    known = points(300, 5)
    assert math.isnan(copy_threshold(nearest(points(99, 6), known)))
    assert math.isnan(copy_threshold(nearest(known[:200], known)))  # held-out examples that are copies themselves
    assert math.isnan(copy_share(torch.ones(3), math.nan))
    assert math.isnan(copy_share(torch.tensor([1.0, math.nan]), 2.0))
