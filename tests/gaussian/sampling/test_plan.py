"""Tests of `polydiff.gaussian.sampling.plan`."""

from __future__ import annotations

import inspect
import math

import pytest

from polydiff.core.rules import rules_of
from polydiff.gaussian.sampling.first_order import shortcut
from polydiff.gaussian.sampling.plan import SAMPLERS, Plan, evaluation_rows
from polydiff.gaussian.sampling.stochastic import dpm_sde

NOISY = {
    "ddpm": {},
    "euler_ancestral": {},
    "ddim": {"eta": 0.5},
    "dpm2": {"eta": 0.5},
    "dpmpp_2s": {"eta": 0.5},
    "dpm_sde": {},
    "pc": {},
    "dpmpp_2m": {"eta": 0.5},
    "dpmpp_2m_sde": {},
    "dpmpp_3m_sde": {},
    "sa_solver": {},
    "adams": {"frame": "x0", "tau": 0.5},
    "er_sde": {},
}
QUIET = {
    "euler_ancestral": {"eta": 0.0},
    "dpm_sde": {"eta": 0.0},
    "dpmpp_2m_sde": {"eta": 0.0},
    "dpmpp_3m_sde": {"eta": 0.0},
    "sa_solver": {"tau": 0.0},
    "er_sde": {"scale": "ode"},
}
"""Options with which samplers that draw noise by default solve the ODE."""


@pytest.mark.parametrize("name", list(SAMPLERS))
@pytest.mark.parametrize("levels", [[0.0, 1.0, 10.0], [1.0, 1.0, 0.0], [1.0, math.nan], [math.inf, 1.0], [1.0, -1.0]])
def test_levels_that_no_method_can_step_on_have_one_error(name: str, levels: list[float]) -> None:
    with pytest.raises(ValueError, match="must be finite and above 0, where the last may be 0, and neighbours must"):
        SAMPLERS[name](levels)


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_one_level_is_no_step(name: str) -> None:
    assert list(SAMPLERS[name]([1.0])) == []


@pytest.mark.parametrize("name", list(NOISY))
def test_a_sampler_that_draws_noise_says_so_on_rising_levels(name: str) -> None:
    with pytest.raises(ValueError, match="there is only the ODE: use"):
        SAMPLERS[name]([0.1, 1.0, 10.0], **NOISY[name])


ODE = [name for name in SAMPLERS if name not in {*NOISY, "auto", "adaptive", "consistency", "calibrated"}]


@pytest.mark.parametrize("name", ODE)
def test_samplers_without_noise_invert_on_rising_levels(name: str) -> None:
    assert inverted(SAMPLERS[name]([0.1, 1.0, 10.0]), std=0.0) == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("name", list(QUIET))
def test_samplers_with_their_noise_off_invert_on_rising_levels(name: str) -> None:
    assert inverted(SAMPLERS[name]([0.1, 1.0, 10.0], **QUIET[name]), std=0.0) == pytest.approx(1, rel=1e-9)


def test_auto_inverts_a_gaussian_on_rising_levels() -> None:
    """Its steps are exact for no point, so for N(0, 1)."""
    assert inverted(SAMPLERS["auto"]([0.1 * 100 ** (i / 60) for i in range(61)]), std=1.0) == pytest.approx(1, rel=0.01)


def inverted(rows: Plan, std: float) -> float:
    """Return the state at s = 10 over the exact one, on data N(0, std^2) and from the exact state at s = 0.1."""
    x, slopes = math.hypot(0.1, std), []
    for row in evaluation_rows(rows):
        assert row.C == 0
        slopes.insert(0, (row.P * std**2 / (std**2 + row.at**2) + row.Q) * x)
        x = row.A * x + sum(b * m for b, m in zip(row.B, slopes, strict=False))
    return x / math.hypot(10, std)


def test_a_registered_sampler_keeps_its_signature_and_rules() -> None:
    assert inspect.signature(SAMPLERS["dpm_sde"]) == inspect.signature(dpm_sde)
    assert SAMPLERS["dpm_sde"].__doc__ == dpm_sde.__doc__
    assert rules_of(SAMPLERS["shortcut"]) == rules_of(shortcut) != ()
