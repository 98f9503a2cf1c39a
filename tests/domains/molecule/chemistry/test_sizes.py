"""Tests of `polydiff.domains.molecule.chemistry.sizes`."""

from __future__ import annotations

import pytest
import torch

from polydiff.domains.molecule.chemistry.sizes import size_nats


def test_probabilities_of_sizes_sum_to_one_and_follow_training() -> None:
    """p(n) = (count + 1/L) / (total + 1) over the L sizes that can be requested."""
    counts = [[3, 10], [5, 30]]
    p = (-size_nats(torch.arange(0, 22), counts)).exp()
    assert float(p.sum()) == pytest.approx(1)
    assert float(p[3]) == pytest.approx((10 + 1 / 20) / 41)
    assert float(p[4]) == pytest.approx(1 / 20 / 41)
    assert p[[0, 21]].tolist() == [0, 0]
