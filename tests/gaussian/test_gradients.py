"""Tests of `polydiff.gaussian.gradients`: what differentiates inside does so in every gradient mode of the caller."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from oracles import GaussianDenoiser, packed
from torch import Tensor, nn
from torch.testing import assert_close

from polydiff.core.space import Batch, Euclidean, Space, State
from polydiff.core.streams import streams
from polydiff.gaussian.control.dps import PosteriorSampling
from polydiff.gaussian.control.linear_inverse import Measured
from polydiff.gaussian.control.measurement import masked
from polydiff.gaussian.gradients import gradients, variable
from polydiff.gaussian.guidance.classifier import Classifier
from polydiff.gaussian.guidance.first_order_steps import first_order
from polydiff.gaussian.likelihood.flow import flow_bound, flow_log_prob
from polydiff.gaussian.loss.noise_levels import importance
from polydiff.gaussian.sampling.execute import sample
from polydiff.gaussian.sampling.plan import plan
from polydiff.gaussian.schedule.closed_forms import EDM
from polydiff.support.errors import UserError

F64 = torch.float64


def denoiser_of(space: Space) -> GaussianDenoiser:
    return GaussianDenoiser(0 * space.noise(streams(0, "x", range(space.batch))), 0.8)


def states(space: Space) -> State:
    return space.noise(streams(0, "x", range(space.batch)))


def classified(space: Space) -> State:
    guided = Classifier(denoiser_of(space), lambda x, sigma, space: -space.sum((x - 1) ** 2) / 2)
    return sample(guided, space, generators=streams(0, "x", range(space.batch)), steps=5)


def measured(space: Space) -> State:
    y = states(space)
    guided = Measured(denoiser_of(space), masked(torch.ones_like(y), space), y, 0.1, "jacobian")
    return sample(guided, space, generators=streams(0, "x", range(space.batch)), steps=5)


def posterior(space: Space) -> State:
    steps = first_order(plan(EDM(), 5, "ddim"), "DPS")
    guided = PosteriorSampling(denoiser_of(space), lambda x: x, states(space), space, steps, zeta=0.3)
    return sample(guided, space, generators=streams(0, "x", range(space.batch)), steps=5, sampler="ddim")


CALLS: dict[str, Callable[[Space], Tensor]] = {
    "flow, exact": lambda space: flow_log_prob(denoiser_of(space), states(space), space, sigma=0.1).log_prob,
    "flow, probes": lambda space: (
        flow_log_prob(
            denoiser_of(space),
            states(space),
            space,
            sigma=0.1,
            trace="hutchinson",
            generators=streams(0, "probe", range(space.batch)),
        ).log_prob
    ),
    "flow bound": lambda space: (
        flow_bound(denoiser_of(space), Batch(states(space), space), streams(0, "eps", range(space.batch))).nats
    ),
    "classifier": classified,
    "linear inverse problem": measured,
    "posterior sampling": posterior,
    "slope of a schedule": lambda space: EDM().slope(torch.tensor([0.2, 0.7], dtype=F64)),
    "density of times": lambda space: importance("mode", torch.tensor([0.2, 0.7], dtype=F64), EDM()),
}


@pytest.mark.parametrize("name", list(CALLS))
def test_results_do_not_depend_on_the_gradient_mode_of_the_caller(name: str) -> None:
    for space in (Euclidean(3, (2,), dtype=F64), packed(3, 3)):
        expected = CALLS[name](space)
        for mode in (torch.no_grad, torch.inference_mode):
            with mode():
                assert_close(CALLS[name](space), expected, rtol=0, atol=0)


def test_weights_created_in_inference_mode_are_an_error_that_names_the_cause() -> None:
    with torch.inference_mode():
        layer = nn.Linear(2, 2)
        x = torch.ones(1, 2)
        with pytest.raises(UserError, match="inference_mode"), gradients():
            layer(variable(x))


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(RuntimeError, match="shapes"), gradients():
        torch.ones(2, 3) @ torch.ones(2, 3)
