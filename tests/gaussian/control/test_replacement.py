"""Tests of `polydiff.gaussian.control.replacement`."""

from __future__ import annotations

import math

import pytest
import torch
from control_cases import Correlated
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from polydiff.core.space import Euclidean
from polydiff.core.streams import streams
from polydiff.gaussian.control.linear_inverse import Measured
from polydiff.gaussian.control.measurement import masked
from polydiff.gaussian.control.replacement import inpaint, repaint
from polydiff.gaussian.sampling.execute import sample
from polydiff.gaussian.sampling.plan import SAMPLERS, Renoise, evaluations
from polydiff.gaussian.sampling.spacing import noise_levels
from polydiff.gaussian.schedule.closed_forms import EDM


def test_resampling_mends_the_bias_of_replacement() -> None:
    """Of correlated data the unknown part is drawn towards its own mean: the network sees the known part noised.

    Measurement by `Measured` has no such bias.
    """
    n, covariance = 1000, torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=torch.float64)
    space = Euclidean(n, (2,), dtype=torch.float64)
    denoiser = Correlated(torch.zeros(2, dtype=torch.float64), covariance)
    mask, y = torch.tensor([1.0, 0.0]), torch.tensor([1.5, 0.0], dtype=torch.float64).expand(n, 2)
    truth = 0.8 * 1.5

    def bias(resample: int) -> float:
        rows = repaint(noise_levels(denoiser.schedule, 20, "karras"), "ddpm", 1, resample)
        x = inpaint(denoiser, rows, space, known=y, mask=mask, generators=streams(0, "x", range(n)))
        return abs(x[:, 1].mean().item() - truth)

    plain, mended = bias(1), bias(8)
    assert plain > 0.1
    assert mended < plain / 2
    measured = Measured(denoiser, masked(mask, space), y, 0.0, "jacobian")
    x = sample(measured, space, generators=streams(0, "x", range(n)), steps=20, sampler="heun", spacing="karras")
    assert_close(x[:, 0], y[:, 0], rtol=0, atol=1e-3)
    assert abs(x[:, 1].mean().item() - truth) < 5 * 0.6 / n**0.5 + 0.01
    assert abs(x[:, 1].var().item() / 0.36 - 1) < 5 * (2 / n) ** 0.5 + 0.03


@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 4), st.sampled_from(["ddpm", "heun", "dpmpp_2m"]))
def test_repaint_runs_every_piece_as_often_as_requested(steps: int, jump: int, resample: int, sampler: str) -> None:
    levels = noise_levels(EDM(), steps, "karras")
    rows, once = repaint(levels, sampler, jump, resample), SAMPLERS[sampler](levels)
    if resample == 1:
        assert rows == once
    jumps = [row for row in rows if isinstance(row, Renoise)]
    assert len(jumps) == (resample - 1) * math.ceil(steps / jump)
    at = levels[0]
    for row in rows:
        if isinstance(row, Renoise):
            assert row.A == 1
            assert row.to**2 == pytest.approx(at**2 + row.C**2, rel=1e-12)
        else:
            assert row.at == at
            assert row.A + (row.P + row.Q) * sum(row.B) == pytest.approx(1, abs=1e-9)
        at = row.to
    assert at == 0
    if sampler == "ddpm":
        assert evaluations(rows) == resample * steps
