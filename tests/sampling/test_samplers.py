"""Samplers against closed forms: laws on Gaussians, orders, published coefficients, what all plans share."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import GaussianDenoiser, convergence, dense, euclidean, packed
from scipy.integrate import quad
from torch.testing import assert_close

from polydiff.random import streams
from polydiff.sampling import (
    SAMPLERS,
    SPACINGS,
    Plan,
    Renoise,
    Row,
    evaluations,
    noise_levels,
    plan,
    rows_on,
    run_plan,
    sample,
)
from polydiff.sampling.engine import FRAMES, VARIABLES, step
from polydiff.schedule import EDM, SCHEDULES
from polydiff.space import Euclidean, Space, sqnorm

VARIANTS: dict[str, dict[str, object]] = {
    "ddpm-small": {"sampler": "ddpm"},
    "ddpm-large": {"sampler": "ddpm", "variance": "large"},
    "ddim": {"sampler": "ddim"},
    "ddim-half": {"sampler": "ddim", "eta": 0.5},
    "heun": {"sampler": "heun"},
    "heun-churn": {"sampler": "heun", "churn": 10.0, "high": 50.0},
    "dpm2-ancestral": {"sampler": "dpm2", "eta": 1.0},
    "dpmpp_2s-ancestral": {"sampler": "dpmpp_2s", "eta": 0.5},
    "dpmpp_2m": {"sampler": "dpmpp_2m"},
    "dpmpp_2m_sde": {"sampler": "dpmpp_2m_sde"},
    "dpmpp_3m_sde": {"sampler": "dpmpp_3m_sde"},
    "sa_solver": {"sampler": "sa_solver"},
    "sa_solver-window": {"sampler": "sa_solver", "tau": 0.5, "low": 0.05, "high": 5.0},
    "er_sde": {"sampler": "er_sde"},
    "restart": {"sampler": "restart"},
    "unipc": {"sampler": "unipc", "order": 3},
    "auto": {"sampler": "auto"},
}
SPACES: dict[str, Callable[[int], Space]] = {
    "euclidean": euclidean,
    **{f"dense-{n}": lambda b, n=n: dense(b, n) for n in (2, 5, 9)},
    "packed-5": lambda b: packed(b, 5),
}


def law(rows: Plan, first: float, std: float) -> float:
    """The exact variance that a sampler gives data N(0, std^2), from its coefficients alone.

    On Gaussian data every sampler is linear: x is a combination of the independent draws, and its variance the sum
    of the squared weights. Nothing here is shared with the executor.
    """
    x, estimates = np.array([first]), []
    for row in rows:
        new = []
        if isinstance(row, Row):
            estimates.insert(0, (row.P * std**2 / (std**2 + row.at**2) + row.Q) * x)
            new = [b * m for b, m in zip(row.B, estimates, strict=False)]
        x = row.A * x
        for m in new:
            x = x + np.pad(m, (0, len(x) - len(m)))
        x = np.append(x, row.C) if row.C else x
    return float((x**2).sum())


def law_of(variant: str, steps: int, std: float) -> float:
    return law(plan(EDM(), steps, **VARIANTS[variant]), 80.0, std)


@pytest.mark.parametrize("variant", list(VARIANTS))
@pytest.mark.parametrize("where", list(SPACES))
def test_samplers_reproduce_an_analytic_gaussian(where: str, variant: str) -> None:
    """Mean and variance in every true dimension; a plain randn would have 3 N instead of 3 (N - 1) degrees."""
    n, std, steps = 600, 0.8, 20
    space = SPACES[where](n)
    mean = space.project(torch.full_like(space.noise(streams(0, "x", range(n))), 0.3))
    denoiser = GaussianDenoiser(mean, std)
    x = sample(denoiser, space, generators=streams(1, "sample", range(n)), steps=steps, **VARIANTS[variant])
    assert_close(space.project(x), x, atol=1e-9, rtol=0)
    d = space.dim[0].item()
    norms = sqnorm(space, x - mean) / (d * law_of(variant, steps, std))
    assert abs(norms.mean().item() - 1) < 5 * (2 / d / n) ** 0.5
    drift = 0.3 * std / 80  # sampling starts from noise alone, whose mean is 0 and not that of the data
    mean_error = (x - mean).reshape(-1, x[0].numel() if x.ndim == 3 else x.shape[1] * 5).mean(0)
    assert mean_error.abs().max().item() < drift + 5 * std / n**0.5


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "restart"])  # which repeats fixed steps
def test_the_law_of_a_sampler_tends_to_that_of_the_data(variant: str) -> None:
    """Data of unit variance, started with noise of the exact marginal; the law of SDE solvers is of weak order 1."""
    top = math.sqrt(80**2 + 0.64)
    errors = [abs(law(plan(EDM(), n, **VARIANTS[variant]), top, 0.8) / 0.64 - 1) for n in (125, 250, 500, 1000)]
    assert errors[-1] < 2e-2
    assert all(b < 0.6 * a or b < 1e-6 for a, b in pairwise(errors)), errors


ORDERS = {
    ("ddim",): 1,
    ("euler",): 1,
    ("gradient_estimation",): 1,
    ("heun",): 2,
    ("dpm2",): 2,
    ("dpm3",): 3,
    ("rk4",): 4,
    ("dpmpp_2s",): 2,
    ("dpmpp_2m",): 2,
    ("dpmpp_3m",): 3,
    ("unipc", "order", 2): 2,
    ("unipc", "order", 3, "falling", False): 3,
    ("deis", "order", 2): 2,
    ("deis", "order", 3): 3,
    ("lms", "order", 3): 3,
    ("lms", "order", 4): 4,
    ("ipndm",): 1,
    ("plms",): 1,
    ("pndm",): 1,
}
"""Methods and the order that they state; those with coefficients of equal steps state 1 on other grids."""


@pytest.mark.parametrize("method", list(ORDERS), ids=lambda m: "-".join(map(str, m)))
def test_deterministic_samplers_converge_at_their_order(method: tuple[str, ...]) -> None:
    name, *option = method
    options = dict(zip(option[::2], option[1::2], strict=True))
    assert convergence(lambda levels: SAMPLERS[name](levels, **options), (160, 320, 640)) > ORDERS[method] - 0.15


@pytest.mark.parametrize("frame", list(FRAMES))
@pytest.mark.parametrize("variable", list(VARIABLES))
@pytest.mark.parametrize(("order", "corrector"), [(1, 0), (2, 0), (3, 0), (4, 0), (2, 3), (3, 4)])
def test_the_engine_converges_at_its_order_in_every_frame(
    frame: str, variable: str, order: int, corrector: int
) -> None:
    """Order k of Adams-Bashforth; a corrector of k + 1 slopes makes it k + 1."""

    def rows(levels: list[float]) -> list[Row]:
        return SAMPLERS["adams"](levels, order, frame, variable, corrector)

    assert convergence(rows, (200, 400, 800)) > max(order, corrector) - 0.15


@given(
    st.sampled_from(list(FRAMES)),
    st.sampled_from(list(VARIABLES)),
    st.lists(st.floats(0.01, 50), min_size=3, max_size=5, unique=True),
    st.booleans(),
)
@settings(max_examples=60)
def test_the_weights_of_a_step_are_the_integrals_of_lagrange_polynomials(
    frame: str, variable: str, levels: list[float], to_zero: bool
) -> None:
    """sum_j B_j V_j^k is the exact moment of the kernel, for every power that the nodes determine."""
    nodes = sorted(levels)
    if any(b < 1.2 * a for a, b in pairwise(nodes)) or (to_zero and variable == "log"):
        return
    s1, *used = nodes if not to_zero else [0.0, *nodes]
    V, (scale, weight, _, _) = VARIABLES[variable], FRAMES[frame]
    _, B, _ = step(used[0], s1, used, frame, variable)
    for k in range(len(used)):

        def moment(s: float, k: int = k) -> float:
            return float(weight(np.float64(s), 1.0)) * float(V(np.float64(s), 1.0)) ** k

        if frame == "x0" and to_zero:
            expected = float(V(np.float64(0.0), 1.0)) ** k
        else:
            expected = scale(s1, 1.0) * quad(moment, used[0], s1, epsabs=1e-13, epsrel=1e-12, limit=200)[0]
        got = sum(b * float(V(np.float64(s), 1.0)) ** k for b, s in zip(B, used, strict=True))
        size = sum(abs(b * float(V(np.float64(s), 1.0)) ** k) for b, s in zip(B, used, strict=True))
        assert got == pytest.approx(expected, abs=1e-9 * max(size, 1e-3))


def test_the_v_frame_solves_unit_gaussians_exactly() -> None:
    """F = 0 there: one step from the highest noise to 0 is the whole flow."""
    space = euclidean(4)
    x = 80 * space.noise(streams(0, "x", range(4)))
    rows = SAMPLERS["adams"]([80.0, 0.0], 1, "v", "angle")
    *_, last = run_plan(rows, GaussianDenoiser(torch.zeros_like(x), 1.0), x, space, None, streams(0, "y", range(4)))
    assert_close(last.x, x / math.hypot(80, 1), rtol=1e-12, atol=1e-12)


def test_dpmpp_2m_has_the_published_coefficients() -> None:
    """x_t = (s_t / s_0) x - (e^{-h} - 1) [(1 + 1/2r) D_0 - (1/2r) D_1] (Lu et al., 2022, algorithm 2)."""
    levels = [10.0, 4.0, 1.0, 0.2]
    for i, row in enumerate(SAMPLERS["dpmpp_2m"](levels)):
        h = math.log(levels[i] / levels[i + 1])
        half = 1 / (2 * math.log(levels[i - 1] / levels[i]) / h) if i else 0.0
        phi = -math.expm1(-h)
        assert pytest.approx(levels[i + 1] / levels[i], rel=1e-14) == row.A
        assert pytest.approx((phi * (1 + half), -phi * half), rel=1e-12) == row.B


def test_dpmpp_3m_weights_the_second_difference_by_phi_3() -> None:
    """x_t = r x + phi_1 D_0 + phi_2 D1 + 2 phi_3 D2 for quadratic D(lambda): exact where the published one is not."""
    levels = [3.0, 2.0, 1.2, 0.5]

    def D(s: float) -> float:
        return 0.3 - 0.7 * math.log(s) + 0.4 * math.log(s) ** 2

    row = SAMPLERS["dpmpp_3m"](levels)[2]
    exact = quad(lambda s: 0.5 / s**2 * D(s), 0.5, 1.2, epsabs=1e-13)[0]
    assert sum(b * D(s) for b, s in zip(row.B, (1.2, 2.0, 3.0), strict=True)) == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("solver", ["bh1", "bh2"])
def test_unipc_of_order_3_is_exact_for_polynomials_in_log_s(solver: str) -> None:
    """Its predictor fits three estimates and its corrector four, whatever B(h) is."""
    levels = [6.0, 4.0, 3.0, 2.0, 1.2, 0.5, 0.2, 0.1]
    rows = SAMPLERS["unipc"](levels, 3, solver)
    plain = SAMPLERS["unipc"](levels, 3, solver, corrector=False)
    adams = SAMPLERS["adams"](levels, 3, "x0", "log", 4)
    assert pytest.approx(SAMPLERS["adams"](levels, 3, "x0", "log")[3].B, rel=1e-9) == plain[3].B
    assert pytest.approx(adams[4].B, rel=1e-9) == rows[4].B


@pytest.mark.parametrize("name", ["heun", "dpm2", "dpm3", "rk4", "dpmpp_2s"])
def test_single_step_methods_equal_their_algorithm(name: str) -> None:
    space = euclidean(3)
    x = 8 * space.noise(streams(0, "x", range(3)))
    denoiser = GaussianDenoiser(torch.full_like(x, 0.4), 0.6)
    levels = [8.0, 3.0, 0.5, 0.0]

    def D(x: torch.Tensor, s: float) -> torch.Tensor:
        return denoiser(x, torch.full((3,), s, dtype=torch.float64), space)

    def eps(x: torch.Tensor, s: float) -> torch.Tensor:
        return (x - D(x, s)) / s

    def one(x: torch.Tensor, a: float, b: float) -> torch.Tensor:
        h, mid = b - a, (a * b) ** 0.5
        k1 = eps(x, a)
        match name:
            case "heun":
                return x + h / 2 * (k1 + eps(x + h * k1, b))
            case "dpm2":
                return x + h * eps(x + (mid - a) * k1, mid)
            case "dpmpp_2s":
                u = mid / a * x + (1 - mid / a) * D(x, a)
                return b / a * x + (1 - b / a) * D(u, mid)
            case "dpm3":  # Lu et al., 2022, algorithm 2, alpha = 1
                l = math.log(a / b)
                u, w = a * math.exp(-l / 3), a * math.exp(-2 * l / 3)
                d1 = eps(x - u * math.expm1(l / 3) * k1, u) - k1
                x2 = x - w * math.expm1(2 * l / 3) * k1 - 2 * w * (math.expm1(2 * l / 3) / (2 * l / 3) - 1) * d1
                return x - b * math.expm1(l) * k1 - b * 1.5 * (math.expm1(l) / l - 1) * (eps(x2, w) - k1)
            case _:
                k2 = eps(x + h / 2 * k1, (a + b) / 2)
                k3 = eps(x + h / 2 * k2, (a + b) / 2)
                return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + eps(x + h * k3, b))

    y = x.clone()
    for s0, s1 in pairwise(levels):
        y = one(y, s0, s1) if s1 > 0 else D(y, s0)
    *_, last = run_plan(SAMPLERS[name](levels), denoiser, x, space, None, streams(0, "y", range(3)))
    assert_close(last.x, y, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["ipndm", "plms", "pndm"])
def test_methods_of_equal_steps_are_exact_for_cubic_slopes(name: str) -> None:
    """With eps a cubic in s and equal steps, Adams-Bashforth 4 after an exact start makes no error."""
    levels = [1.0 - 0.05 * i for i in range(12)]

    def eps(s: float) -> float:
        return 1 - 2 * s + 3 * s**2 - 4 * s**3

    x, history = 0.0, []
    rows = SAMPLERS[name](levels)
    for row in rows:
        history.insert(0, eps(row.at))  # the slope does not depend on x here: P D + Q x = eps
        x = row.A * x + sum(b * m for b, m in zip(row.B, history, strict=False))
        if row.to < levels[4] - 1e-9 and row is rows[-1]:
            break
    skipped = len(rows) - (len(levels) - 1)
    begun = next(i for i, s in enumerate(levels) if i >= 3)
    exact = quad(eps, levels[begun], levels[-1])[0]
    tail = 0.0
    history = []
    for i, row in enumerate(rows):
        history.insert(0, eps(row.at))
        if i >= begun + skipped:
            tail += sum(b * m for b, m in zip(row.B, history, strict=False))
    assert tail == pytest.approx(exact, rel=1e-9)


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


def test_restart_is_told_of_the_data_and_stays_below_its_beginning() -> None:
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


OPTIONS = {
    "adams": st.fixed_dictionaries(
        {
            "order": st.integers(1, 5),
            "frame": st.sampled_from(list(FRAMES)),
            "variable": st.sampled_from(list(VARIABLES)),
            "corrector": st.integers(0, 6),
        }
    ),
    "unipc": st.fixed_dictionaries(
        {"order": st.integers(1, 4), "solver": st.sampled_from(["bh1", "bh2"]), "corrector": st.booleans()}
    ),
    "deis": st.fixed_dictionaries({"order": st.integers(1, 4)}),
    "sa_solver": st.fixed_dictionaries({"tau": st.floats(0, 1.5), "order": st.integers(1, 4)}),
    "er_sde": st.fixed_dictionaries({"order": st.integers(1, 4), "scale": st.sampled_from(["ode", "sde", "default"])}),
    "heun": st.fixed_dictionaries({"churn": st.floats(0, 100)}),
    "ddim": st.fixed_dictionaries({"eta": st.floats(0, 1)}),
}


@given(
    st.data(),
    st.sampled_from(list(SAMPLERS)),
    st.sampled_from([name for name in SPACINGS if name != "own"]),
    st.integers(1, 1000) | st.integers(1, 12),
    st.sampled_from(list(SCHEDULES)),
)
@settings(max_examples=600)
def test_plans_preserve_a_point_and_end_at_zero(
    data: st.DataObject, sampler: str, spacing: str, steps: int, schedule: str
) -> None:
    """If the data are the point c, a state at c stays there; levels fall strictly to 0, no number is not finite."""
    options = data.draw(OPTIONS.get(sampler, st.just({})))
    levels = noise_levels(SCHEDULES[schedule](), steps, spacing)
    assert len(levels) in (steps + 1, steps + 2)
    assert levels[-1] == 0
    assert all(a > b for a, b in pairwise(levels))
    rows = rows_on(levels, sampler, **options)
    assert rows[-1].to == 0
    assert rows[-1].C == 0
    for row in rows:
        numbers = (row.at, row.A, *row.B, row.C, row.to, row.P, row.Q) if isinstance(row, Row) else row[:2]
        assert all(map(math.isfinite, numbers))
    if sampler in ("auto", "adaptive") or options.get("frame") == "v":
        return  # the free step and the frame v are exact for N(0, 1), not for a point; an integrator is no numbers
    x, estimates = 1.0, []
    for row in rows:
        new = 0.0
        if isinstance(row, Row):
            estimates.insert(0, row.P + row.Q * x)
            new = sum(b * m for b, m in zip(row.B, estimates, strict=False))
        x = row.A * x + new
        assert x == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("schedule", ["linear", "edm", "flow", "cosine_betas", "sqrt"])
def test_no_combination_raises_repeats_a_level_or_gives_a_nan(schedule: str) -> None:
    """Every sampler on every spacing with few and more steps, in float32 on a Gaussian: 5,600 combinations in all."""
    space = Euclidean(1, (2,))
    made = SCHEDULES[schedule]()
    tried = 0
    for sampler in SAMPLERS:
        for spacing in SPACINGS:
            for steps in (1, 2, 3, 6):
                levels = noise_levels(made, steps, spacing) if spacing != "own" else [9.0, *range(steps - 1, -1, -1)]
                rows = rows_on(levels, sampler)
                x = levels[0] * space.noise(streams(0, "x", [0]))
                denoiser = GaussianDenoiser(torch.full((1, 2), 0.3), 0.7, made)
                for step_ in run_plan(rows, denoiser, x, space, None, streams(0, "y", [0])):
                    assert torch.isfinite(step_.x).all(), (sampler, spacing, steps)
                assert step_.sigma == 0
                tried += 1
    assert tried >= 1000


@pytest.mark.parametrize(
    ("sampler", "calls"),
    [("heun", 13), ("dpm2", 13), ("dpm3", 19), ("rk4", 25), ("dpmpp_2s", 13), ("plms", 8), ("pndm", 16), ("auto", 7)],
)
def test_evaluations_are_what_the_network_is_called(sampler: str, calls: int) -> None:
    space = euclidean(2)
    denoiser = GaussianDenoiser(torch.zeros(2, 2, 3, dtype=torch.float64), 1.0)
    sample(denoiser, space, generators=streams(0, "x", range(2)), steps=7, sampler=sampler)
    assert denoiser.calls == calls == evaluations(plan(EDM(), 7, sampler))


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_a_sample_does_not_depend_on_its_batch(variant: str) -> None:
    def draw(indices: list[int]) -> torch.Tensor:
        space = euclidean(len(indices))
        denoiser = GaussianDenoiser(torch.full((len(indices), 2, 3), 0.3, dtype=torch.float64), 0.5)
        return sample(denoiser, space, generators=streams(5, "x", indices), steps=10, **VARIANTS[variant])

    assert torch.equal(draw([0, 1, 2, 3])[2], draw([2])[0])


def test_eta_one_is_ddpm_and_euler_is_ddim() -> None:
    levels = noise_levels(EDM(), 12)
    assert SAMPLERS["ddim"](levels, eta=1.0) == SAMPLERS["ddpm"](levels)
    assert SAMPLERS["euler"](levels) == SAMPLERS["ddim"](levels)
    assert SAMPLERS["euler_ancestral"](levels) == SAMPLERS["ddpm"](levels)


def test_spacings_begin_where_they_are_told_or_refuse() -> None:
    for name in ("linear", "edm", "flow", "ve"):
        schedule = SCHEDULES[name]()
        for spacing in SPACINGS:
            if spacing in ("own", "leading"):
                continue
            assert noise_levels(schedule, 4, spacing, start=2.0)[0] == pytest.approx(2.0, rel=1e-6)
            with pytest.raises(ValueError, match="at most"):
                noise_levels(schedule, 4, spacing, start=1e9)
        assert len(noise_levels(SCHEDULES[name](shift=3.0), 5, "quadratic")) == 6


def test_bad_grids_and_options_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        noise_levels(EDM(), 0)
    with pytest.raises(ValueError, match="fall"):
        plan(EDM(), sampler="ddim", levels=[1.0, 2.0, 0.0])
    for levels in ([5.0, math.nan, 0.0], [math.inf, 1.0, 0.0], [1.0, -1.0], [1.0]):
        with pytest.raises(ValueError, match="levels must be"):
            plan(EDM(), sampler="ddim", levels=levels)
    for spacing, option in (("karras", {"rho": 0.0}), ("asinh", {"knee": 0.0}), ("asinh", {"power": -1.0})):
        with pytest.raises(ValueError, match="above 0"):
            plan(EDM(), 5, "ddim", spacing, spacing_options=option)
    for name, options in {
        "ddim": {"eta": 2.0},
        "adams": {"frame": "z"},
        "unipc": {"solver": "bh3"},
        "heun": {"churn": -1.0},
        "er_sde": {"scale": "x"},
        "restart": {"low": 2.0},
        "ipndm": {"order": 9},
        "sa_solver": {"tau": -1.0},
        "lms": {"order": 2.5},
        "dpmpp_3m": {"eta": -1.0},
    }.items():
        with pytest.raises((ValueError, KeyError)):
            plan(EDM(), 5, name, **options)


OWN_SCALE = {"er_sde", "restart", "adaptive"}  # phi, levels to turn at, and an integrator instead of numbers


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name not in OWN_SCALE])
def test_samplers_that_can_depend_on_the_data_s_scale_are_told_it(name: str) -> None:
    """Levels and data ten times as large give the same plan, in whatever variable: no sampler keeps a scale of 1."""
    levels = [80.0, 20.0, 6.0, 2.0, 0.7, 0.2, 0.05, 0.0]
    options = {"variable": "ratio"} if name in ("adams", "deis", "sa_solver") else {}
    small, large = rows_on(levels, name, 1.0, **options), rows_on([10 * s for s in levels], name, 10.0, **options)
    for a, b in zip(small, large, strict=True):
        assert pytest.approx(b.A, rel=1e-9, abs=1e-12) == a.A
        assert pytest.approx(b.C / 10, rel=1e-9, abs=1e-12) == a.C
        if isinstance(a, Row):
            clean = 10.0 if a.Q else 1.0  # slopes of eps have units of their own
            assert pytest.approx([x / clean for x in b.B], rel=1e-9, abs=1e-12) == a.B
