"""Tests of `polydiff.gaussian.objective.easy_consistency`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from fewstep_cases import SCHEDULE, SPACES, ect, gradient
from hypothesis import given
from hypothesis import strategies as st
from oracles import euclidean
from torch import Tensor, nn
from torch.testing import assert_close

from polydiff.core.conditions import Condition
from polydiff.core.space import Batch, Euclidean, Space, State
from polydiff.core.streams import streams
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.objective.base import Moment
from polydiff.gaussian.objective.easy_consistency import ECT
from polydiff.gaussian.schedule.closed_forms import EDM


def fixed_point(objective: ECT, progress: float) -> Callable[[Tensor, Tensor], Tensor]:
    """The gain f of the exact minimum for data N(0, P) at finite r < t: f(t) (1 + t^2) = f(r) (1 + r t), f(0) = 1."""

    def gain(t: Tensor, step: Tensor) -> Tensor:
        f, t = torch.ones_like(t), t.clone()
        while t.max() > 1e-9:
            r = objective.earlier(t, Moment(round(progress * 1000), 1000, None), 1.0)  # type: ignore[arg-type]
            f, t = f * (1 + r * t) / (1 + t**2), r
        return f

    return gain


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("progress", [0.0, 0.3, 0.6])
def test_ect_has_no_gradient_at_its_exact_minimum(space: str, progress: float) -> None:
    objective = ect()
    exact = fixed_point(objective, progress)
    assert_close(gradient(objective, exact, SPACES[space](16), progress), torch.zeros(16).double(), atol=1e-9, rtol=0)
    bent = gradient(objective, lambda t, step: exact(t, step) + 0.01, SPACES[space](16), progress)
    assert bool((bent > 1e-6).all())


def test_ect_tends_to_the_consistency_function_as_r_nears_t() -> None:
    """At D = x / sqrt(1 + t^2) it is 2 w sqrt(1 + t^2) (1 - cos(atan t - atan r)): of second order in t - r."""
    objective, space = ect(), euclidean(16)
    grads, gaps = [], []
    for progress in (0.0, 0.5, 0.99):
        grad = gradient(objective, lambda t, step: torch.rsqrt(1 + t**2), space, progress)
        t = objective.loss.noise_levels((torch.arange(16).double() + 0.5) / 16, SCHEDULE)
        r = objective.earlier(t, Moment(round(progress * 1000), 1000, None), 1.0)  # type: ignore[arg-type]
        angle, w = torch.atan(t) - torch.atan(r), (1 + t**2) / t**2
        assert_close(grad, 2 * w * torch.sqrt(1 + t**2) * (1 - angle.cos()), atol=1e-9, rtol=1e-6)
        grads.append(grad.sum().item())
        gaps.append((w * torch.sqrt(1 + t**2) * angle**2).sum().item())
    assert grads[2] < 0.01 * grads[0]
    assert grads[2] == pytest.approx(gaps[2], rel=1e-2)


def test_r_is_the_published_function_of_t() -> None:
    """r = t (1 - (1 + k sigmoid(-b t)) / q^{stage + 1}), cut at 0, with 8 stages of the run."""
    t = torch.tensor([0.01, 0.3, 2.0, 30.0], dtype=torch.float64)
    for step, stage in ((0, 0), (124, 0), (125, 1), (600, 4), (999, 7)):
        for q in (2.0, 4.0):
            ratio = 1 - (1 + 8 * torch.sigmoid(-t)) / q ** (stage + 1)
            r = ect(q=q, b=1.0).earlier(t, Moment(step, 1000, None), 1.0)  # type: ignore[arg-type]
            assert_close(r, t * ratio.clamp(min=0))


@given(st.floats(1e-3, 80), st.integers(0, 999), st.floats(1.1, 300), st.floats(0, 20))
def test_r_lies_between_0_and_t_and_rises_with_training(t: float, step: int, q: float, k: float) -> None:
    objective, level = ect(q=q, k=k), torch.tensor([t], dtype=torch.float64)
    now, later = (objective.earlier(level, Moment(i, 1000, None), 1.0) for i in (step, min(step + 130, 999)))  # type: ignore[arg-type]
    assert 0 <= now <= later <= t


class Dropping(nn.Module):
    """Dropout alone: F is the input with half of its numbers left out."""

    def forward(self, x: State, log_sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        return nn.functional.dropout(x, 0.5, True)


def test_both_passes_of_ect_see_one_dropout_mask() -> None:
    """With r all but equal to t the two estimates agree only where the masks do."""
    space = Euclidean(8, (64,), dtype=torch.float64)
    x_0 = space.noise(streams(0, "x", range(8)))
    denoiser = Denoiser(Dropping(), EDM(), "edm")
    u = torch.full((8,), 0.5, dtype=torch.float64)
    near = ect(q=1e12)(denoiser, Batch(x_0, space), u, streams(0, "z", range(8)), Moment(0, 10, denoiser)).losses
    assert near.max() < 1e-18
    sigma = torch.ones(8, dtype=torch.float64)
    assert (denoiser(x_0, sigma, space) - denoiser(x_0, sigma, space)).abs().max() > 0.1


def test_ect_of_what_cannot_be_a_consistency_function_raises_an_error() -> None:
    space = euclidean(2)
    x_0 = space.noise(streams(0, "x", range(2)))
    with pytest.raises(ValueError, match="target=x0 does not give"):
        ect()(Denoiser(Dropping(), EDM(), "x0"), Batch(x_0, space), torch.rand(2), [], Moment(0, 1, None))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="q > 1"):
        ect(q=1.0)
