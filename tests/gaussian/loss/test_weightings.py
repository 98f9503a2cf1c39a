"""Tests of `polydiff.gaussian.loss.weightings`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_cases import SHAPES
from torch import Tensor, nn
from torch.testing import assert_close

from polydiff.core.conditions import Condition
from polydiff.core.space import Batch, Euclidean, Space, State, normal
from polydiff.core.streams import streams
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.loss.base import Loss
from polydiff.gaussian.loss.weightings import WEIGHTINGS
from polydiff.gaussian.schedule.base import SCHEDULES, Schedule
from polydiff.gaussian.schedule.learned import Learned
from polydiff.gaussian.target import TARGETS


def test_simple_weighting_of_eps_is_ddpm_and_of_edm_is_edm() -> None:
    s = torch.logspace(-3, 2, 20, dtype=torch.float64)
    one = torch.ones_like(s)
    for target, same in (("eps", "snr"), ("edm", "edm"), ("x0", "x0")):
        a, b = TARGETS[target](one, s, 0.5)
        c = s / (b - s * a).abs()
        assert_close(WEIGHTINGS["simple"](s, c, 0.5), WEIGHTINGS[same](s, c, 0.5), rtol=1e-10, atol=0)


@given(snr=st.floats(1e-4, 1e4), k=st.floats(0.1, 10), gamma=st.floats(0.1, 2))
def test_options_of_weightings_are_those_of_the_papers(snr: float, k: float, gamma: float) -> None:
    s = torch.tensor(snr, dtype=torch.float64).rsqrt()
    assert WEIGHTINGS["p2"](s, s, 1.0, k=k, gamma=gamma).item() == pytest.approx(snr / (k + snr) ** gamma)
    assert WEIGHTINGS["min_snr"](s, s, 1.0, gamma=gamma).item() == pytest.approx(min(snr, gamma))
    sigmoid = snr / 2 / (1 + snr * math.exp(-k))
    assert WEIGHTINGS["sigmoid"](s, s, 1.0, bias=k).item() == pytest.approx(sigmoid)


def clean_and_noisy(schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Clean numbers, noise, and the states of rectified flow at times t."""
    alpha, sigma = schedule(t)
    x_0, eps = (normal(streams(seed, "numbers", range(len(t))), (1,), "cpu").double()[:, 0] for seed in (0, 1))
    return x_0, eps, alpha * x_0 + sigma * eps


@pytest.mark.parametrize("floor", [0.0, 0.05])
def test_the_flow_loss_of_a_clean_estimate_is_that_of_flow_matching(floor: float) -> None:
    """|v - (eps - x_0)|^2 with v the velocity that the estimate implies, v = (x_t - D) / t."""
    schedule = SCHEDULES["flow"](sigma_min=0.002, sigma_max=80.0)
    low, high = schedule.trained_times()
    t = torch.linspace(low, high, 200, dtype=torch.float64)
    x_0, eps, x_t = clean_and_noisy(schedule, t)
    s = schedule.noise_level(t)
    denoiser = Denoiser(Linear("x0"), schedule, "x0")
    space = Prescribed(200, (1,), dtype=torch.float64, eps=eps[:, None])
    with torch.no_grad():
        estimate = denoiser(x_t[:, None] * (1 + s)[:, None], s, space)[:, 0]
        losses = Loss(weighting="flow", weighting_options={"floor": floor})(denoiser, Batch(x_0[:, None], space), s, [])
    velocity = (x_t - estimate) / t
    expected = (velocity - (eps - x_0)) ** 2
    above = s > floor
    assert 100 < above.sum() <= 200
    assert_close(losses[above], expected[above], rtol=1e-9, atol=1e-12)
    held = 441.0 * (estimate - x_0) ** 2
    assert_close(losses[~above], held[~above], rtol=1e-9, atol=1e-12)
    assert (losses[~above] < expected[~above]).all()


@pytest.mark.parametrize("target", list(TARGETS))
def test_the_flow_loss_is_the_same_for_every_target(target: str) -> None:
    """Loss and gradient of target=flow with the weighting `simple`, where w is below its bound."""
    expected = expected_gradient("flow", "uniform", "flow", "simple")
    assert expected_gradient("flow", "uniform", target, "flow", floor=0.0) == pytest.approx(expected, rel=1e-9)


@dataclass(frozen=True)
class Prescribed(Euclidean):
    """R^1 with given noise."""

    eps: Tensor = field(default_factory=lambda: torch.zeros(1))

    def noise(self, generators: Any) -> State:
        return self.eps


class Linear(nn.Module):
    """The network of every target whose denoiser is D = w x / (1 + s)."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))
        self.target = TARGETS[target]

    def forward(self, x: Tensor, log_sigma: Tensor, space: Space, cond: Condition | None) -> Tensor:
        s = space.expand(log_sigma.exp())
        x = x * (s**2 + 1).sqrt()
        x_0 = self.w * x / (1 + s)
        a, b = self.target(torch.ones_like(s), s, 1.0)
        return a * x_0 + b * (x - x_0) / s


def expected_gradient(
    name: str, times: str, target: str, weighting: str, n: int = 4000, **options: float
) -> tuple[float, float]:
    """The mean loss and its gradient in w, exact but for the sum over n numbers u: E over x_0 = +-0.5, eps = +-1."""
    schedule = SCHEDULES[name](sigma_min=0.02, sigma_max=50.0)
    if isinstance(schedule, Learned):
        with torch.no_grad():
            schedule.height.copy_(torch.linspace(-4, 0, len(schedule.height)))
    loss = Loss(weighting=weighting, times=times, times_options=SHAPES[times], weighting_options=options)
    denoiser = Denoiser(Linear(target), schedule, target, aids=loss.aids())
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    sigma = loss.noise_levels(u, schedule).repeat(4)
    signs = torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64).repeat_interleave(n, 0)
    space = Prescribed(4 * n, (1,), dtype=torch.float64, eps=signs[:, 1:])
    mean = loss(denoiser, Batch(0.5 * signs[:, :1], space), sigma, []).mean()
    mean.backward()
    return mean.item(), denoiser.backbone.w.grad.item()  # type: ignore[union-attr]


@pytest.mark.parametrize("weighting", ["elbo", "sigmoid"])
def test_an_integral_depends_on_no_schedule_no_times_and_no_target(weighting: str) -> None:
    """1/2 int f(lambda) |eps error|^2 d lambda and its gradient, by the trapezoidal rule."""
    log_snr = torch.linspace(-2 * math.log(50), -2 * math.log(0.02), 20_001, dtype=torch.float64)
    s, w = torch.exp(-log_snr / 2), torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    factor = torch.sigmoid(2 - log_snr) if weighting == "sigmoid" else torch.ones_like(s)
    error = 0.25 * (w / (1 + s) - 1) ** 2 + (w * s / (1 + s)) ** 2
    value = torch.trapezoid(factor * error / s**2 / 2, log_snr)
    value.backward()
    assert w.grad is not None
    expected = value.item(), w.grad.item()
    for name in ("edm", "flow", "cosine", "exponential", "ve", "subvp", "learned"):
        assert expected_gradient(name, "uniform", "edm", weighting) == pytest.approx(expected, rel=2e-4)
    for times in SHAPES:
        assert expected_gradient("flow", times, "v", weighting) == pytest.approx(expected, rel=5e-3), times
    for target in TARGETS:
        assert expected_gradient("ve", "uniform", target, weighting) == pytest.approx(expected, rel=2e-4)
