"""Tests of `polydiff.gaussian.sampling.adaptive`."""

import pytest
import torch
from oracles import GaussianDenoiser, dense, euclidean, packed
from torch.testing import assert_close

from polydiff.core.streams import streams
from polydiff.gaussian.sampling.execute import run_plan, sample
from polydiff.gaussian.sampling.plan import SAMPLERS, evaluations, plan
from polydiff.gaussian.schedule.closed_forms import EDM
from polydiff.testing.exact_flow import flow
from polydiff.testing.problems import SUITES


@pytest.mark.parametrize("problem", SUITES["core"]()[:3], ids=lambda problem: problem.name)
def test_the_adaptive_sampler_keeps_its_tolerance(problem: object) -> None:
    space, denoise = problem.space(6, torch.float64), problem.denoise(EDM())
    x = 80 * space.noise(streams(0, "x", range(6)))
    truth = flow(problem.exact, x.flatten(1), 80.0).reshape(x.shape)
    distances = []
    for tolerance in (1e-2, 1e-4, 1e-6):
        rows = plan(EDM(), 1, "adaptive", sigma_data=denoise.sigma_data, rtol=tolerance, atol=tolerance, low=1e-4)
        *_, last = run_plan(rows, denoise, x, space, None, [])
        distances.append(
            float((last.x - truth).flatten(1).norm(dim=1).median() / truth.flatten(1).norm(dim=1).median())
        )
    assert distances[0] < 0.1
    assert distances[1] < 3e-3
    assert distances[2] < 1e-4
    assert evaluations(rows) is None


@pytest.mark.parametrize("where", [euclidean, lambda b: dense(b, 5), lambda b: packed(b, 5)])
def test_adaptive_steps_are_each_sample_s_own_and_stay_on_the_space(where: object) -> None:
    def draw(indices: list[int]) -> torch.Tensor:
        space = where(len(indices))
        noise = space.noise(streams(9, "mean", [0] * len(indices)))
        return sample(GaussianDenoiser(noise, 0.5), space, generators=streams(5, "x", indices), sampler="adaptive")

    together, alone = draw([0, 1, 2]), draw([1])
    space = where(3)
    assert_close(space.project(together), together, atol=1e-9, rtol=0)
    if together.ndim == 3:
        assert torch.equal(together[1], alone[0])


def test_the_adaptive_sampler_without_tolerance_raises_an_error() -> None:
    with pytest.raises(ValueError, match="above 0"):
        SAMPLERS["adaptive"]([80.0, 0.0], rtol=0.0)
