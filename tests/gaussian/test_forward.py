"""Tests of `polydiff.gaussian.forward`."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_cases import NAMES, schedule
from torch.testing import assert_close

from polydiff.core.space import Euclidean
from polydiff.core.streams import streams
from polydiff.gaussian.forward import q_sample
from polydiff.gaussian.schedule.tables import Discrete


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15)
@given(times=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)))
def test_steps_of_the_forward_process_compose(name: str, times: tuple[float, float, float]) -> None:
    """q(t|r) = q(t|s) q(s|r): alpha_t|s = alpha_t / alpha_s, variance sigma_t^2 (1 - SNR_t / SNR_s)."""
    sched = schedule(name)
    low, high = sched.trained_times()
    r, s, t = (torch.tensor(low + x * (high - low), dtype=torch.float64) for x in sorted(times))

    def step(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        (alpha_a, _), (alpha_b, sigma_b) = sched(a), sched(b)
        return alpha_b / alpha_a, -(sigma_b**2) * torch.expm1(sched.log_snr(b) - sched.log_snr(a))

    (first, noise), (second, more) = step(r, s), step(s, t)
    whole, all_noise = step(r, t)
    assert_close(first * second, whole, rtol=1e-12, atol=0)
    assert_close(second**2 * noise + more, all_noise, rtol=1e-10, atol=1e-12 * max(1.0, float(sched(t)[1]) ** 2))


def test_q_sample_has_the_marginal_of_the_forward_chain() -> None:
    """Running the T steps x <- sqrt(1 - beta) x + sqrt(beta) eps gives q_sample's moments at the last."""
    betas = torch.tensor([0.1, 0.3, 0.5], dtype=torch.float64)
    n = 20_000
    space = Euclidean(n, (1,), dtype=torch.float64)
    x = torch.full((n, 1), 2.0, dtype=torch.float64)
    x_t, eps = q_sample(x, torch.ones(n), Discrete(betas), space, streams(0, "noise", range(n)))
    for i, beta in enumerate(betas):
        x = (1 - beta).sqrt() * x + beta.sqrt() * space.noise(streams(i + 1, "chain", range(n)))
    for moment in (torch.mean, torch.std):
        assert abs((moment(x_t) - moment(x)).item()) < 5 * (2 / n) ** 0.5
    assert_close(x_t, 2 * (1 - betas).prod().sqrt() + (1 - (1 - betas).prod()).sqrt() * eps)
