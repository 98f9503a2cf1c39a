"""Averages of the weights: closed forms, widths and exponents, and mixtures of profiles."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from average_cases import averaged, flat, integral, move, network
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from polydiff.run.averages import SIGMAS, MovingAverage, exponent, width


def test_the_moving_average_is_its_closed_form() -> None:
    """ema_n = sum_k (1 - d_k) prod_{j > k} d_j w_k + prod_j d_j w_init with d_k = min(d, (1 + k) / (10 + k))."""
    model, decay, n = network(), 0.9, 40
    ema = copy.deepcopy(model)
    average, history = MovingAverage(ema, model, decay), [flat(model)]
    for k in range(n):
        move(model, k)
        history.append(flat(model))
        average.update(k)
    d = [min(decay, (1 + k) / (10 + k)) for k in range(n)]
    weights = [torch.tensor(d).double().prod().item()]
    weights += [(1 - d[k]) * torch.tensor(d[k + 1 :]).double().prod().item() for k in range(n)]
    expected = sum(w * h for w, h in zip(weights, history, strict=True))
    assert sum(weights) == pytest.approx(1)
    assert_close(flat(ema), expected, rtol=1e-6, atol=1e-9)


def test_the_moving_average_takes_buffers_as_they_are() -> None:
    model = network()
    ema = copy.deepcopy(model)
    model(torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    MovingAverage(ema, model, 0.99).update(0)
    assert all(torch.equal(a, b) for a, b in zip(ema.buffers(), model.buffers(), strict=True))


# Power-function averages


@torch.no_grad()
def test_a_power_function_average_is_its_integral() -> None:
    history, averages = averaged(200)
    for sigma in SIGMAS:
        kept = torch.cat([value.flatten() for value in averages.averages[sigma].values()])
        assert_close(kept, integral(history, exponent(sigma)), rtol=1e-11, atol=1e-11)


def test_the_published_pairs_of_width_and_exponent() -> None:
    """EDM2 lists gamma = 16.97 and 6.94 for sigma_rel = 0.05 and 0.10 (Karras et al., 2024, section 3.1)."""
    assert exponent(0.05) == pytest.approx(16.97, abs=5e-3)
    assert exponent(0.10) == pytest.approx(6.94, abs=5e-3)


@given(st.floats(0.001, 0.288))
def test_width_and_exponent_are_inverse_and_the_width_is_the_deviation(sigma: float) -> None:
    gamma = exponent(sigma)
    assert gamma >= 0
    assert width(gamma) == pytest.approx(sigma, rel=1e-9)
    mean, square = (gamma + 1) / (gamma + 2), (gamma + 1) / (gamma + 3)
    assert math.sqrt(square - mean**2) == pytest.approx(sigma, rel=1e-5)


@pytest.mark.parametrize("sigma", [0.0, -0.1, 0.3, math.nan])
def test_widths_that_no_average_has_raise_an_error(sigma: float) -> None:
    with pytest.raises(ValueError, match=r"width between 0 and 0\.2887"):
        exponent(sigma)
