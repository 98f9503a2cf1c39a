"""Tests of `polydiff.gaussian.guidance.cfg_pp`."""

from __future__ import annotations

import math

import pytest
from guidance_cases import Curved, condition, level, state
from oracles import euclidean
from torch.testing import assert_close

from polydiff.core.conditions import Condition
from polydiff.core.space import State
from polydiff.core.streams import streams
from polydiff.gaussian.guidance.guided import Guided
from polydiff.gaussian.guidance.method import GUIDANCE
from polydiff.gaussian.sampling.execute import run_plan
from polydiff.gaussian.sampling.plan import SAMPLERS
from polydiff.gaussian.sampling.spacing import noise_levels
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.gaussian.schedule.closed_forms import EDM


@pytest.mark.parametrize("w", [0.2, 0.6, 1.0])
def test_cfg_plus_plus_is_the_published_algorithm(w: float) -> None:
    """Algorithm 2 of Chung et al., 2024, in the vp frame of the paper, to the last step."""
    schedule, space, cond = SCHEDULES["linear"](), euclidean(3), condition([0, 1, 2])
    denoiser = Curved(schedule=schedule)
    levels = noise_levels(schedule, 10, "time")
    bar = [1 / (1 + s**2) for s in levels]
    start = state(space, levels[0])
    x = math.sqrt(bar[0]) * start

    def eps(x: State, i: int, cond: Condition | None) -> State:
        estimate = denoiser(x / math.sqrt(bar[i]), level(space, levels[i]), space, cond)
        return (x - math.sqrt(bar[i]) * estimate) / math.sqrt(1 - bar[i])

    for i in range(10):
        e_c, e_u = eps(x, i, cond), eps(x, i, None)
        e = e_u + w * (e_c - e_u)
        x_0 = (x - math.sqrt(1 - bar[i]) * e) / math.sqrt(bar[i])
        x = math.sqrt(bar[i + 1]) * x_0 + math.sqrt(1 - bar[i + 1]) * e_u
    rows = SAMPLERS["ddim"](levels)
    wrapper = Guided(denoiser, GUIDANCE["cfg_pp"](w, rows))
    *_, last = run_plan(rows, wrapper, start, space, cond, streams(0, "x", range(3)))
    assert last.sigma == 0
    assert_close(last.x, x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sampler", ["heun", "dpmpp_2m"])
def test_cfg_plus_plus_with_a_sampler_of_higher_order_raises_an_error(sampler: str) -> None:
    with pytest.raises(ValueError, match=r"CFG\+\+ is defined by what a first-order step does.*Use the sampler ddim"):
        GUIDANCE["cfg_pp"](0.5, SAMPLERS[sampler](noise_levels(EDM(), 5, "karras")))
    with pytest.raises(ValueError, match="needs the rows"):
        GUIDANCE["cfg_pp"](0.5, [])
