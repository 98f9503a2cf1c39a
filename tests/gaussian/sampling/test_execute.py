"""The one loop: blocks, starting states, what is remembered; and the sampler that chooses its steps."""

import pytest
import torch
from oracles import GaussianDenoiser, euclidean
from torch.testing import assert_close

from polydiff.core.space import Euclidean
from polydiff.core.streams import streams
from polydiff.gaussian.sampling.execute import combine, run_plan, sample, trajectory
from polydiff.gaussian.sampling.plan import Renoise, Row, Solve, plan
from polydiff.gaussian.schedule.closed_forms import EDM


def test_a_combination_is_that_of_its_parts_to_the_bit() -> None:
    """In float32, whatever the length: vector and scalar instructions round alike, or a sample would see its batch."""
    space = Euclidean(3, (1003,))
    x, m, k = (space.noise(streams(i, "x", range(3))) for i in range(3))
    whole = combine(0.7, x, (0.3, 0.0, -1.2), (m, m, k))
    parts = [combine(0.7, x[i : i + 1], (0.3, 0.0, -1.2), (m[i : i + 1],) * 2 + (k[i : i + 1],)) for i in range(3)]
    assert torch.equal(whole, torch.cat(parts))
    assert_close(whole, 0.7 * x + 0.3 * m - 1.2 * k)
    assert_close(combine(1.0, x, (1.0,), (m,)), x + m)


def test_states_that_were_yielded_are_not_written_to() -> None:
    space = euclidean(2)
    denoiser = GaussianDenoiser(torch.zeros(2, 2, 3, dtype=torch.float64), 1.0)
    seen = [
        (step.x, step.x.clone(), step.x_0, step.x_0.clone())
        for step in trajectory(denoiser, space, generators=streams(0, "x", range(2)), steps=9)
    ]
    for x, x_then, clean, clean_then in seen:
        assert torch.equal(x, x_then)
        assert torch.equal(clean, clean_then)


def test_estimates_of_earlier_rows_are_used_newest_first() -> None:
    """A plan written by hand: m = P D + Q x, a rescaling without the network, a row without history, an integrator."""
    space = euclidean(1)
    x = space.noise(streams(0, "x", [0]))

    def denoise(x: torch.Tensor, sigma: torch.Tensor, space: object, cond: None = None) -> torch.Tensor:
        return 2 * x

    rows = [
        Renoise(3.0, A=3.0),  # x <- 3 x
        Row(3.0, 1.0, (0.5, 0.25), 0.0, 2.0, P=1.0, Q=-1.0),  # keeps 2 (3x) - 3x = 3x; x <- 3x + 1.5x
        Row(2.0, 0.0, (0.0, 1.0), 0.0, 1.0),  # keeps 9x; x <- 3x
        Renoise(1.0, A=-1.0),  # x <- -3x, and the estimates stay
        Row(1.0, 0.0, (0.0, 1.0, 1.0), 0.0, 0.5),  # x <- 9x + 3x
        Solve(0.5, 0.0, lambda denoise, x, space, cond: x / 4),
    ]
    steps = list(run_plan(rows, denoise, x, space, None, streams(0, "y", [0])))
    assert [step.sigma for step in steps] == [3.0, 2.0, 1.0, 1.0, 0.5, 0.0]
    for step, factor in zip(steps, (3, 4.5, 3, -3, 12, 3), strict=True):
        assert_close(step.x, factor * x)
    for step, factor in zip(steps, (1, 6, 9, 9, -6, -6), strict=True):
        assert_close(step.x_0, factor * x)


def test_a_plan_is_the_same_each_time_it_is_computed() -> None:
    rows = plan(EDM(), 9, "unipc")
    rows.clear()
    assert len(plan(EDM(), 9, "unipc")) == 9
    assert plan(EDM(), 9, "unipc", order=3) != plan(EDM(), 9, "unipc")
    with pytest.raises(TypeError):
        plan(EDM(), 9, "ddim", etaa=1.0)


@pytest.mark.parametrize("outside", [True, False])
def test_sampling_keeps_no_graph_and_leaves_the_mode_of_gradients_alone(outside: bool) -> None:
    space, weight = euclidean(2), torch.ones((), dtype=torch.float64, requires_grad=True)
    exact = GaussianDenoiser(torch.zeros(2, 2, 3, dtype=torch.float64), 1.0)

    class Learned:
        schedule, sigma_data = exact.schedule, 1.0

        def __call__(self, x: torch.Tensor, sigma: torch.Tensor, space: object, cond: None = None) -> torch.Tensor:
            return weight * exact(x, sigma, space)

    with torch.set_grad_enabled(outside):
        for step in trajectory(Learned(), space, generators=streams(0, "x", range(2)), steps=4):
            assert not step.x.requires_grad
            assert torch.is_grad_enabled() is outside
        assert not sample(Learned(), space, generators=streams(0, "x", range(2)), steps=4).requires_grad
        assert torch.is_grad_enabled() is outside
