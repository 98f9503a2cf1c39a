"""Tests of `polydiff.gaussian.sampling.single_step`."""

import math
from itertools import pairwise

import pytest
import torch
from oracles import GaussianDenoiser, euclidean
from torch.testing import assert_close

from polydiff.core.streams import streams
from polydiff.gaussian.sampling.execute import run_plan
from polydiff.gaussian.sampling.plan import SAMPLERS


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
