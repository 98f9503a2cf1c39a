"""Tests of `polydiff.gaussian.sampling.spacing`."""

import math

import pytest

from polydiff.gaussian.sampling.plan import plan
from polydiff.gaussian.sampling.spacing import SPACINGS, noise_levels
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.gaussian.schedule.closed_forms import EDM


def test_spacings_begin_at_the_given_level_or_raise_an_error() -> None:
    for name in ("linear", "edm", "flow", "ve"):
        schedule = SCHEDULES[name]()
        for spacing in SPACINGS:
            if spacing in ("own", "leading", "timesteps"):
                continue
            assert noise_levels(schedule, 4, spacing, start=2.0)[0] == pytest.approx(2.0, rel=1e-6)
            with pytest.raises(ValueError, match="at most"):
                noise_levels(schedule, 4, spacing, start=1e9)
        assert len(noise_levels(SCHEDULES[name](shift=3.0), 5, "quadratic")) == 6


def test_bad_grids_and_options_raise_an_error() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        noise_levels(EDM(), 0)
    with pytest.raises(ValueError, match="decreasing"):
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
        "dpm_sde": {"eta": 1.5},
        "pc": {"snr": 1.0},
    }.items():
        with pytest.raises((ValueError, KeyError)):
            plan(EDM(), 5, name, **options)
