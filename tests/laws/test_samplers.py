"""Samplers against closed forms: laws on Gaussians, orders, published coefficients, what all plans share."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracles import GaussianDenoiser, convergence, dense, euclidean, packed
from torch.testing import assert_close

from polydiff.core.space import Euclidean, Space, sqnorm
from polydiff.core.streams import streams
from polydiff.gaussian.sampling.adams import FRAMES, VARIABLES
from polydiff.gaussian.sampling.execute import run_plan, sample
from polydiff.gaussian.sampling.plan import SAMPLERS, Plan, Row, evaluations, plan, rows_on
from polydiff.gaussian.sampling.spacing import SPACINGS, noise_levels
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.gaussian.schedule.closed_forms import EDM

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
    "dpmpp_2m_sde-window": {"sampler": "dpmpp_2m_sde", "high": 1.0},
    "dpmpp_3m_sde": {"sampler": "dpmpp_3m_sde"},
    "sa_solver": {"sampler": "sa_solver"},
    "sa_solver-window": {"sampler": "sa_solver", "tau": 0.5, "low": 0.05, "high": 5.0},
    "er_sde": {"sampler": "er_sde"},
    "dpm_sde": {"sampler": "dpm_sde"},
    "dpm_sde-half": {"sampler": "dpm_sde", "eta": 0.5},
    "pc": {"sampler": "pc", "corrections": 2},
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


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name not in ("restart", "pc")])  # with fixed steps
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
    "dpm_sde": st.fixed_dictionaries({"eta": st.floats(0, 1)}),
    "pc": st.fixed_dictionaries({"snr": st.floats(0, 0.7), "corrections": st.integers(0, 2), "eta": st.floats(0, 1)}),
}


FORMULAS = [name for name in SAMPLERS if name != "calibrated"]  # whose coefficients are fitted to a network


@given(
    st.data(),
    st.sampled_from(FORMULAS),
    st.sampled_from([name for name in SPACINGS if name != "own"]),
    st.integers(1, 1000) | st.integers(1, 12),
    st.sampled_from(list(SCHEDULES)),
)
@settings(max_examples=250)
def test_plans_preserve_a_point_and_end_at_zero(
    data: st.DataObject, sampler: str, spacing: str, steps: int, schedule: str
) -> None:
    """If the data are the point c, a state at c stays there; levels fall strictly to 0, no number is not finite."""
    assume((spacing, schedule) != ("timesteps", "learned"))  # a UserError: such timesteps would change
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
    for sampler in FORMULAS:
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
    [
        ("heun", 13),
        ("dpm2", 13),
        ("dpm3", 19),
        ("rk4", 25),
        ("dpmpp_2s", 13),
        ("dpm_sde", 13),
        ("pc", 13),
        ("plms", 8),
        ("pndm", 16),
        ("auto", 7),
    ],
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


OWN_SCALE = {"er_sde", "restart", "adaptive"}  # phi, levels to turn at, and an integrator instead of numbers


@pytest.mark.parametrize("name", [name for name in FORMULAS if name not in OWN_SCALE])
def test_plans_scale_with_the_data(name: str) -> None:
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
