"""The size of a sampler's step as a condition."""

from __future__ import annotations

import math

import pytest
import torch
from fewstep_cases import Recorder
from oracles import euclidean
from torch.testing import assert_close

from polydiff.core.space import per_sample, shared_level
from polydiff.core.streams import streams
from polydiff.gaussian.sampling.plan import Renoise, plan
from polydiff.gaussian.sampling.spacing import noise_levels
from polydiff.gaussian.schedule.closed_forms import EDM
from polydiff.gaussian.step_size import StepSize, flow_time, noise_level


def test_every_way_to_call_gives_the_step_that_starts_at_the_nearest_level() -> None:
    """With a shared level, a level for each sample, and the variance. 4 equal steps have the size log2(1 / 4) = -2."""
    levels = noise_levels(EDM(), 4, "flow")
    rows = [Renoise(levels[0]), *plan(EDM(), levels=levels, sampler="ddim")]
    space = euclidean(2)
    x = space.noise(streams(0, "x", range(2)))
    recorder = Recorder()
    sized = StepSize(recorder, rows)
    for level in levels[:-1]:
        shared = shared_level(level)
        each = per_sample(shared * (1 + 1e-7), x, space)
        estimate, v = sized.with_variance(x, shared, space)
        assert_close(estimate, sized(x, shared, space))
        assert_close(sized(x, each, space), estimate)
        assert v.unique().tolist() == [0.25]
    assert_close(torch.stack(recorder.sizes), torch.full((12, 2), -2.0).to(x))


def test_steps_shorter_than_the_finest_have_no_size() -> None:
    levels = noise_levels(EDM(), 8, "flow")
    rows = plan(EDM(), levels=levels, sampler="ddim")
    assert StepSize(Recorder(), rows, finest=16).sizes[1] == pytest.approx([-3.0] * 8)
    assert all(math.isnan(size) for size in StepSize(Recorder(), rows, finest=8).sizes[1])


def test_flow_time_has_an_inverse() -> None:
    s = torch.logspace(-3, 3, 13, dtype=torch.float64)
    assert_close(noise_level(flow_time(s)), s)
