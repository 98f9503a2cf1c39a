"""Tests of `polydiff.gaussian.guidance.threshold`."""

from __future__ import annotations

import pytest
import torch
from guidance_cases import Curved, level, state
from oracles import GaussianDenoiser, dense, euclidean
from torch.testing import assert_close

from polydiff.gaussian.guidance.threshold import DynamicThreshold, quantile


def test_thresholds_keep_bounded_data_in_bounds_and_change_nothing_within() -> None:
    space = euclidean(3)
    values = torch.linspace(-4, 6, 18, dtype=torch.float64).reshape(3, 2, 3)
    still = GaussianDenoiser(values, 1e-9)
    x, sigma = torch.zeros_like(values), level(space, 1.0)
    result = DynamicThreshold(still, -1.0, 3.0, 0.9)(x, sigma, space)
    assert result.min() >= -1
    assert result.max() <= 3
    off = values - 1
    q = off.abs().flatten(1).quantile(0.9, dim=1).clamp(min=2)[:, None, None]
    assert_close(result, 1 + off.clamp(-q, q) * 2 / q, rtol=1e-8, atol=1e-8)
    assert_close(DynamicThreshold(still, -5, 7)(x, sigma, space), values, rtol=1e-8, atol=1e-8)
    rows = torch.arange(21, dtype=torch.float64).sin().reshape(3, 7)
    for p in (0.1, 0.5, 0.995, 1.0):
        assert_close(quantile(rows, p), rows.quantile(p, dim=1))


def test_thresholds_raise_for_data_without_bounds() -> None:
    space = dense(2, 4)
    with pytest.raises(ValueError, match=r"DenseMolecules has none\. Use the guidance method apg"):
        DynamicThreshold(Curved())(state(space), level(space, 1.0), space)
