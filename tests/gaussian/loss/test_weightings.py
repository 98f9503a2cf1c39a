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
from polydiff.core.space import Batch, Euclidean, Space, State
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.loss.base import Loss
from polydiff.gaussian.loss.weightings import WEIGHTINGS
from polydiff.gaussian.schedule.base import SCHEDULES
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


def expected_gradient(name: str, times: str, target: str, weighting: str, n: int = 4000) -> tuple[float, float]:
    """The mean loss and its gradient in w, exact but for the sum over n numbers u: E over x_0 = +-0.5, eps = +-1."""
    schedule = SCHEDULES[name](sigma_min=0.02, sigma_max=50.0)
    if isinstance(schedule, Learned):
        with torch.no_grad():
            schedule.height.copy_(torch.linspace(-4, 0, len(schedule.height)))
    loss = Loss(weighting=weighting, times=times, times_options=SHAPES[times])
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
