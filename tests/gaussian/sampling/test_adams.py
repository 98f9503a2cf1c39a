"""Tests of `polydiff.gaussian.sampling.adams`."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import GaussianDenoiser, convergence, euclidean
from scipy.integrate import quad
from torch.testing import assert_close

from polydiff.core.streams import streams
from polydiff.gaussian.sampling.adams import FRAMES, VARIABLES, step
from polydiff.gaussian.sampling.execute import run_plan
from polydiff.gaussian.sampling.plan import SAMPLERS, Row


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
