"""Tests of `polydiff.gaussian.sampling.stochastic`."""

import math

import pytest
import torch

from polydiff.gaussian.sampling.plan import SAMPLERS, Renoise, rows_on
from polydiff.gaussian.sampling.spacing import noise_levels
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.gaussian.schedule.closed_forms import EDM


def test_ddpm_is_the_posterior_of_the_forward_process() -> None:
    """In the vp frame: mean and variance of q(x_s | x_t, x_0) (Ho et al., 2020, eq. 7), at every grid point."""
    schedule = SCHEDULES["linear"](T=50)
    t = torch.arange(50, dtype=torch.float64) / 49
    (alpha, _), level = schedule(t), schedule.noise_level(t)
    bar = alpha**2
    for i in range(1, 50):
        beta = 1 - bar[i] / bar[i - 1]
        for variance, expected in (("small", (1 - bar[i - 1]) / (1 - bar[i]) * beta), ("large", beta)):
            row = SAMPLERS["ddpm"]([level[i].item(), level[i - 1].item()], variance=variance)[0]
            # x_t = alpha_t x: the factors of x_t and x_0 in the mean of x_s, and its variance
            assert row.A * alpha[i - 1] / alpha[i] == pytest.approx(
                ((1 - beta).sqrt() * (1 - bar[i - 1]) / (1 - bar[i])).item(), rel=1e-9
            )
            assert row.B[0] * alpha[i - 1] == pytest.approx((alpha[i - 1] * beta / (1 - bar[i])).item(), rel=1e-9)
            assert (row.C * alpha[i - 1]) ** 2 == pytest.approx(expected.item(), rel=1e-9)


@pytest.mark.parametrize("scale", ["ode", "sde", "default"])
def test_er_sde_keeps_the_marginal_variance_of_a_point(scale: str) -> None:
    """x = c + s_0 eps becomes c + s_1 eps': r^2 s_0^2 + C^2 = s_1^2, whatever phi is; phi = s is DDIM."""
    levels = noise_levels(EDM(), 15)
    for s0, row in zip(levels, SAMPLERS["er_sde"](levels, scale=scale), strict=False):
        assert (row.A * s0) ** 2 + row.C**2 == pytest.approx(row.to**2, abs=1e-12)
    first = SAMPLERS["er_sde"](levels, order=1, scale="ode")
    for a, b in zip(first, SAMPLERS["ddim"](levels), strict=True):
        assert (a.A, *a.B) == pytest.approx((b.A, *b.B), rel=1e-9, abs=1e-12)
    ddpm = SAMPLERS["er_sde"](levels, order=1, scale="sde")
    for a, b in zip(ddpm, SAMPLERS["ddpm"](levels), strict=True):
        assert (a.A, a.C, *a.B) == pytest.approx((b.A, b.C, *b.B), rel=1e-9, abs=1e-9)


def test_restart_goes_up_and_down_again() -> None:
    rows = SAMPLERS["restart"](noise_levels(EDM(), 12), low=0.1, high=1.0, repeats=3, steps=4)
    ups = [i for i, row in enumerate(rows) if isinstance(row, Renoise)]
    assert len(ups) == 3
    bottom = rows[ups[0] - 1].to
    assert pytest.approx(math.sqrt(1 - bottom**2)) == rows[ups[0]].C
    assert rows[ups[1] - 1].to == pytest.approx(bottom)
    assert rows[-1].to == 0


def test_restart_scales_with_the_data_and_stays_below_its_beginning() -> None:
    levels = [800.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.0]
    for base in ("auto", "ddpm"):
        options = {"base": base, "low": 1.0, "high": 10.0}
        small = rows_on([s / 10 for s in levels], "restart", 1.0, base=base, low=0.1, high=1.0)
        for a, b in zip(rows_on(levels, "restart", 10.0, **options), small, strict=True):
            assert type(a) is type(b)
            assert pytest.approx((b.A, b.C), rel=1e-9, abs=1e-12) == (a.A, a.C / 10)
            assert base == "auto" or isinstance(a, Renoise) or pytest.approx(b.B, rel=1e-9, abs=1e-12) == a.B
            assert a.to == pytest.approx(10 * b.to, rel=1e-9)
    edited = rows_on([0.3, 0.05, 0.02, 0.0], "restart")
    assert max(row.to for row in edited) == 0.3
    for base in SAMPLERS:
        if base != "restart":
            assert rows_on([0.05, 0.02, 0.0], "restart", base=base)[-1].to == 0
