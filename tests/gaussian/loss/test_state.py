"""Tests of `polydiff.gaussian.loss.state`."""

from __future__ import annotations

from collections import deque

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_cases import Fixed, ring
from torch import Tensor, nn
from torch.testing import assert_close

from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.loss.base import Loss
from polydiff.gaussian.loss.state import History
from polydiff.gaussian.schedule.closed_forms import EDM
from polydiff.training.loop import Training, fit


@given(losses=st.lists(st.floats(0, 1e3), min_size=8, max_size=8), floor=st.floats(0.05, 1))
def test_what_the_history_draws_is_corrected_exactly(losses: list[float], floor: float) -> None:
    """E_p[f(u) / p(u)] = int f, p positive, and p ~ sqrt(E[L^2]) up to the floor."""
    history = History(bins=8, depth=2, floor=floor)
    u = (torch.arange(8) + 0.5) / 8
    assert_close(history.density(), torch.ones(8, dtype=torch.float64))
    for scale in (0.0, 1.0):
        history.record(u, scale * torch.tensor(losses))
    even = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    drawn, weight = history.importance_sample(even)
    assert (drawn.diff() > 0).all()
    assert (weight * drawn**2).mean().item() == pytest.approx(1 / 3, rel=2e-2)
    assert weight.mean().item() == pytest.approx(1, rel=2e-2)
    p = history.density()
    assert p.mean().item() == pytest.approx(1)
    if sum(losses) > 1e-3:
        assert_close(p, floor + (1 - floor) * torch.tensor(losses).double() * 8 / sum(losses), rtol=1e-4, atol=1e-6)


@given(steps=st.lists(st.lists(st.floats(0.001, 0.999), min_size=1, max_size=12), min_size=1, max_size=12))
def test_the_history_keeps_the_latest_losses_of_each_interval(steps: list[list[float]]) -> None:
    history, latest, loss = History(bins=4, depth=3), [deque[float](maxlen=3) for _ in range(4)], 0.0
    for step in steps:
        losses = [loss := loss + 1 for _ in step]
        history.record(torch.tensor(step, dtype=torch.float64), torch.tensor(losses))
        for u, value in zip(step, losses, strict=True):
            latest[int(u * 4)].append(value)
    for row, kept in zip(history.losses, latest, strict=True):
        assert sorted(row[row > 0].tolist()) == sorted(kept)


def test_drawing_where_losses_are_high_lowers_the_variance() -> None:
    history = History(bins=32, depth=1)
    u = (torch.arange(32) + 0.5) / 32

    def f(u: Tensor) -> Tensor:
        return torch.exp(6 * u)

    history.record(u, f(u))
    even = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    drawn, weight = history.importance_sample(even)
    assert (weight * f(drawn)).mean().item() == pytest.approx(f(even).mean().item(), rel=1e-3)
    assert (weight * f(drawn)).var() < 0.01 * f(even).var()


def test_the_uncertainty_learns_the_log_of_the_loss() -> None:
    """And changes nothing before it has learned anything."""
    loss = Loss(weighting="uncertainty")
    denoiser = Denoiser(nn.Identity(), EDM(), aids=loss.aids())
    sigma = torch.logspace(-2.5, 1.8, 200, dtype=torch.float64)
    losses = (2 + torch.sin(sigma.log())) * torch.exp(-sigma.log() / 2)
    assert_close(loss.minimised(denoiser, losses, sigma), losses, rtol=0, atol=0)
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        loss.minimised(denoiser, losses, sigma).mean().backward()
        optimizer.step()
    u = denoiser.aids["uncertainty"](sigma).detach().double()
    assert (u - losses.log()).abs().mean() < 0.05
    assert (loss.minimised(denoiser, losses, sigma) - losses.log() - 1).abs().mean() < 0.01


def test_a_loss_without_its_aid_raises_an_error_with_advice() -> None:
    for loss in (Loss(times="adaptive"), Loss(weighting="uncertainty")):
        training = Training(Denoiser(Fixed().float(), EDM()), loss)
        with pytest.raises(ValueError, match=r"aids=loss\.aids\(\)"):
            next(fit(training, lambda step: ring(4, step), steps=1, batch_size=4))
