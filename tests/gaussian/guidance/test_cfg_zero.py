"""Tests of `polydiff.gaussian.guidance.cfg_zero`."""

from __future__ import annotations

import torch
from guidance_cases import Curved, condition, level, state
from hypothesis import given
from hypothesis import strategies as st
from oracles import dense, euclidean
from torch.testing import assert_close

from polydiff.core.space import sqnorm
from polydiff.core.streams import streams
from polydiff.gaussian.guidance.cfg_zero import ZeroStar
from polydiff.gaussian.guidance.guided import Guided
from polydiff.gaussian.guidance.method import GUIDANCE
from polydiff.gaussian.sampling.execute import run_plan
from polydiff.gaussian.sampling.plan import plan


@given(st.floats(0.01, 20), st.floats(-2, 8))
def test_zero_star_is_the_published_formula_in_velocities(sigma: float, w: float) -> None:
    """Algorithm 1 of Fan et al., 2025: x_t = (1 - t) x_0 + t eps, u = (x_t - x_0) / t."""
    space = dense(2, 4)
    x, c, u = (space.noise(streams(k, "x", range(2))) for k in range(3))
    t = sigma / (1 + sigma)
    v_c, v_u = ((x * (1 - t) - estimate) / t for estimate in (c, u))
    best = space.expand(space.sum(v_c * v_u) / sqnorm(space, v_u)) * v_u
    expected = x * (1 - t) - t * (best + w * (v_c - best))
    assert_close(ZeroStar(w)(c, u, x, level(space, sigma), space), expected, rtol=1e-8, atol=1e-8)


def test_zero_steps_leave_the_state_of_rectified_flow_where_it_is() -> None:
    denoiser, space = Curved(), euclidean(2)
    rows = plan(denoiser.schedule, steps=6, sampler="ddim", spacing="karras")
    wrapper = Guided(denoiser, GUIDANCE["cfg_zero"](3.0, rows, zero_steps=2))
    x = state(space, 5.0)
    flow = [step.x / (1 + step.sigma) for step in run_plan(rows, wrapper, x, space, condition([0, 1]), ())]
    assert_close(flow[0], x / 6, rtol=1e-12, atol=0)
    assert_close(flow[1], x / 6, rtol=1e-12, atol=0)
    assert not torch.allclose(flow[2], x / 6)
