"""Tests of `polydiff.gaussian.sampling.stochastic`."""

import math

import numpy as np
import pytest
import torch
from oracles import GaussianDenoiser, euclidean
from torch.testing import assert_close

from polydiff.core.streams import streams
from polydiff.gaussian.sampling.execute import run_plan
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
        assert (row.A * s0) ** 2 + row.C**2 == pytest.approx(row.to**2, rel=1e-12, abs=1e-12)
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
        if base not in ("restart", "calibrated"):
            assert rows_on([0.05, 0.02, 0.0], "restart", base=base)[-1].to == 0


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_dpm_sde_equals_the_published_update(eta: float) -> None:
    """`sample_dpmpp_sde` of k-diffusion with r = 1/2, in its own symbols: t = -log s, h, and its ancestral step."""
    space, levels = euclidean(3), [7.0, 2.0]
    x = 7 * space.noise(streams(0, "x", range(3)))
    denoiser = GaussianDenoiser(torch.full_like(x, 0.4), 0.6)
    first, last = SAMPLERS["dpm_sde"](levels, eta=eta)

    def ancestral_step(a: float, b: float) -> tuple[float, float]:
        up = min(b, eta * (b**2 * (a**2 - b**2) / a**2) ** 0.5)
        return (b**2 - up**2) ** 0.5, up

    t, t_next = (-math.log(s) for s in levels)
    s = math.exp(-(t + (t_next - t) / 2))
    down, up_m = ancestral_step(levels[0], s)
    D = denoiser(x, torch.full((3,), 7.0, dtype=torch.float64), space)
    x_m = down / levels[0] * x - math.expm1(t + math.log(down)) * D
    quiet = [row._replace(C=0.0) for row in (first, last)]
    mean_m, mean = (step.x for step in run_plan(quiet, denoiser, x, space, None, streams(0, "y", range(3))))
    assert_close(mean_m, x_m, rtol=1e-12, atol=1e-12)
    D_m = denoiser(x_m, torch.full((3,), s, dtype=torch.float64), space)
    down, up = ancestral_step(*levels)
    assert_close(mean, down / levels[0] * x - math.expm1(t + math.log(down)) * D_m, rtol=1e-12, atol=1e-12)
    assert pytest.approx(up_m, rel=1e-12) == first.C
    # all noise of the state at the end, through the factor of x and not through D: the published variance
    assert math.hypot(last.A * first.C, last.C) == pytest.approx(up, rel=1e-12)
    assert (first.at, last.at) == (7.0, pytest.approx(s))


def test_the_two_noises_of_dpm_sde_are_integrals_over_one_brownian_path() -> None:
    """dx = 2 (x - D) / s ds + sqrt(2 s) dW with D constant: covariance of the integrals to s_m and to s_1, by sums."""
    s0, s1 = 3.0, 0.5
    first, last = SAMPLERS["dpm_sde"]([s0, s1])
    s_m = math.sqrt(s0 * s1)

    def weight(to: float, s: np.ndarray) -> np.ndarray:
        return (to / s) ** 2 * np.sqrt(2 * s)  # what dW at s contributes to the state at `to`

    def integral(a: float, b: float, low: float) -> float:
        edges = np.linspace(low, s0, 200_001)
        s, ds = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
        return float((weight(a, s) * weight(b, s)).sum() * ds)

    assert pytest.approx(integral(s_m, s_m, s_m), rel=1e-8) == first.C**2
    assert pytest.approx(integral(s_m, s1, s_m), rel=1e-8) == last.A * first.C**2
    assert pytest.approx(integral(s1, s1, s1), rel=1e-8) == (last.A * first.C) ** 2 + last.C**2
    r = s1 / s0
    assert last.A * first.C / math.hypot(last.A * first.C, last.C) == pytest.approx(math.sqrt(r / (1 + r)), rel=1e-12)


def test_dpm_sde_without_noise_is_the_two_stage_method() -> None:
    levels = noise_levels(EDM(), 12)
    ours, theirs = SAMPLERS["dpm_sde"](levels, eta=0.0), SAMPLERS["dpmpp_2s"](levels)
    for a, b in zip(ours, theirs, strict=True):
        assert (a.at, a.A, *a.B, a.C, a.to) == pytest.approx((b.at, b.A, *b.B, 0.0, b.to), rel=1e-12, abs=1e-15)


def test_dpm_sde_follows_the_mean_of_the_reverse_sde() -> None:
    """On a Gaussian both stages are exact in the mean: E[x_s | x_S] = x_S (s^2 + sd^2) / (S^2 + sd^2)."""
    std, levels = 0.8, [20.0, 5.0, 0.3]
    rows = [row._replace(C=0.0) for row in SAMPLERS["dpm_sde"](levels)]
    x = torch.ones(3, 2, 3, dtype=torch.float64)
    denoiser = GaussianDenoiser(torch.zeros_like(x), std)
    for step in run_plan(rows, denoiser, x, euclidean(3), None, streams(0, "y", range(3))):
        assert_close(step.x, x * (step.sigma**2 + std**2) / (20**2 + std**2), rtol=1e-12, atol=0)


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_the_variance_of_dpm_sde_converges_at_order_2(eta: float) -> None:
    """On N(0, 0.8^2), from the exact marginal at s = 80 to that at 0.2; ancestral steps have order 1."""
    errors: dict[str, list[float]] = {"dpm_sde": [], "ddim": []}
    for name, found in errors.items():
        for n in (160, 320, 640):
            x, estimates = np.array([math.hypot(80, 0.8)]), [np.zeros(1)]  # weights of the independent draws
            for row in SAMPLERS[name]([80 * (0.2 / 80) ** (i / n) for i in range(n + 1)], eta=eta):
                estimates = [0.64 / (0.64 + row.at**2) * x, estimates[0]]
                x = row.A * x
                for b, m in zip(row.B, estimates, strict=False):
                    x = x + b * np.pad(m, (0, len(x) - len(m)))
                x = np.append(x, row.C)
            found.append(abs(float((x**2).sum()) / (0.64 + 0.04) - 1))
    assert errors["dpm_sde"][0] > 3.7 * errors["dpm_sde"][1] > 3.7**2 * errors["dpm_sde"][2]
    assert errors["dpm_sde"][0] < 0.03 * errors["ddim"][0]


def correct(variance: float, std: float, s: float, steps: int, **options: float) -> float:
    """Return the variance of states at noise level s after `steps` corrections on data N(0, std^2)."""
    _, row, _ = SAMPLERS["pc"]([2 * s, s, 0.0], **options)
    assert (row.at, row.to) == (s, s)
    factor = row.A + row.B[0] * std**2 / (std**2 + s**2)
    for _ in range(steps):
        variance = factor**2 * variance + row.C**2
    return variance


@pytest.mark.parametrize("s", [0.05, 0.8, 30.0])
def test_the_corrector_keeps_the_marginal_and_draws_others_to_it(s: float) -> None:
    """On N(0, 0.8^2) with noise s: invariant up to the step e = 2 snr^2 s^2, and v / (1 - e / (2 v)) in the limit."""
    v = 0.64 + s**2
    for snr in (0.05, 0.1, 0.2):
        kept = correct(v, 0.8, s, 1, snr=snr)
        assert abs(kept / v - 1) <= (2 * snr**2) ** 2 * 1.0001  # one step: second order in e / v
        limit = v / (1 - (snr * s) ** 2 / v)
        assert correct(limit, 0.8, s, 1, snr=snr) == pytest.approx(limit, rel=1e-12)
        assert limit / v - 1 <= snr**2 / (1 - snr**2) * 1.0001
        for wrong in (0.5, 2.0):
            distances = [abs(correct(wrong * v, 0.8, s, n, snr=snr) / limit - 1) for n in (0, 1, 10, 100)]
            assert distances == sorted(distances, reverse=True)
            assert distances[-1] < 0.999 * distances[0]


def test_pc_is_the_predictor_and_then_langevin_steps() -> None:
    """The published step x + e score + sqrt(2 e) xi with e = 2 snr^2 s^2, at every level above 0."""
    levels, snr = [9.0, 3.0, 1.0, 0.0], 0.3
    rows = SAMPLERS["pc"](levels, snr=snr, corrections=2, eta=0.5)
    assert [row.at for row in rows] == [9, 3, 3, 3, 1, 1, 1]
    predictors, corrector = [rows[0], rows[3], rows[6]], rows[2]
    assert predictors == SAMPLERS["ddim"](levels, eta=0.5)
    e = 2 * snr**2 * 9
    assert (corrector.A, *corrector.B) == pytest.approx((1 - e / 9, e / 9), rel=1e-12)
    assert math.sqrt(2 * e) == pytest.approx(corrector.C, rel=1e-12)
    for off in ({"snr": 0.0}, {"corrections": 0}):
        assert SAMPLERS["pc"](levels, **off) == SAMPLERS["ddpm"](levels)
    for wrong in ({"snr": -0.1}, {"snr": 1.0}, {"snr": math.nan}, {"corrections": -1}, {"corrections": 1.5}):
        with pytest.raises(ValueError, match="must be"):
            SAMPLERS["pc"](levels, **wrong)


def test_corrections_reduce_the_error_of_the_predictor() -> None:
    """The loss of variance of 20 ancestral steps, on N(0, 1): more corrections and larger ones make it smaller."""
    levels, found = noise_levels(EDM(), 20), []
    for options in ({"corrections": 0}, {"corrections": 1}, {"corrections": 4}, {"corrections": 4, "snr": 0.25}):
        variance = levels[0] ** 2
        for row in SAMPLERS["pc"](levels, **options):
            variance = (row.A + row.B[0] / (1 + row.at**2)) ** 2 * variance + row.C**2
        found.append(variance)
    assert found == sorted(found)
    assert found[0] < 0.7 < 0.8 < found[-1] < 1
