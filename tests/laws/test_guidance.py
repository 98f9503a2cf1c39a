"""Guidance against closed forms; properties of every wrapper: space, symmetry, independence of the batch."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from guidance_cases import HOW, SPACES, WRAPPERS, Curved, condition, draw, guided, level, likely, state
from hypothesis import given
from hypothesis import strategies as st
from oracles import GaussianDenoiser, dense, euclidean, packed
from torch import Tensor
from torch.testing import assert_close

from polydiff.core.conditions import Condition
from polydiff.core.space import Space, State, per_sample, shared_level, sqnorm
from polydiff.core.streams import streams
from polydiff.gaussian.guidance.apg import Projected
from polydiff.gaussian.guidance.classifier import Classifier
from polydiff.gaussian.guidance.guided import Autoguidance, ClassifierFree, Guided
from polydiff.gaussian.guidance.method import GUIDANCE, Linear, spread
from polydiff.gaussian.guidance.threshold import DynamicThreshold
from polydiff.gaussian.sampling.execute import sample
from polydiff.gaussian.sampling.plan import plan
from polydiff.gaussian.sampling.spacing import noise_levels
from polydiff.gaussian.schedule.closed_forms import EDM


@pytest.mark.parametrize("where", list(SPACES))
@pytest.mark.parametrize("wrapper", list(WRAPPERS))
def test_a_guided_sample_does_not_depend_on_its_batch_and_lies_on_its_space(wrapper: str, where: str) -> None:
    together = draw(wrapper, SPACES[where](3), [0, 1, 2])
    space = SPACES[where](1)
    alone = draw(wrapper, space, [2])
    assert torch.equal(together.reshape(3, *alone.shape)[2] if where == "packed" else together[2:], alone)
    assert_close(space.project(alone), alone, atol=1e-9, rtol=0)
    assert sqnorm(space, alone - draw("cfg", space, [2]))[0] > 1e-6 or wrapper == "cfg"


@pytest.mark.parametrize("wrapper", list(WRAPPERS))
def test_guidance_turns_with_the_molecule_in_both_layouts(wrapper: str) -> None:
    turn, _ = torch.linalg.qr(torch.arange(9, dtype=torch.float64).reshape(3, 3).sin())
    results = []
    for space in (dense(2, 4), packed(2, 4)):
        x = state(space, 2.0)
        turned = torch.cat([x[..., :3] @ turn, x[..., 3:]], -1)
        denoise, again, cond = WRAPPERS[wrapper](space), WRAPPERS[wrapper](space), condition([0, 1])
        for sigma in (5.0, 1.5):  # the second evaluation uses the state that the first one stored
            y, z = (d(x, level(space, sigma), space, cond) for d, x in ((denoise, x), (again, turned)))
        assert_close(torch.cat([y[..., :3] @ turn, y[..., 3:]], -1), z, atol=1e-12, rtol=1e-10)
        results.append((y[:, :4] if y.ndim == 3 else y).reshape(2, 4, -1))
    assert_close(*results, atol=1e-12, rtol=1e-10)


@given(st.sampled_from(list(SPACES)), st.floats(0.01, 50), st.floats(-3, 10))
def test_guidance_shifts_the_mean_of_gaussians(where: str, sigma: float, w: float) -> None:
    """D_u of N(m_u, v), D_c of N(m_c, v): the guided one is that of N(m_u + w (m_c - m_u), v)."""
    space = SPACES[where](2)
    x, m_c, m_u = (space.noise(streams(k, "x", range(2))) for k in range(3))
    strong, weak = GaussianDenoiser(m_c, 0.7), GaussianDenoiser(m_u, 0.7)
    result = Autoguidance(strong, weak, w)(x, level(space, sigma), space)
    expected = GaussianDenoiser(m_u + w * (m_c - m_u), 0.7)(x, level(space, sigma), space)
    assert_close(result, expected, rtol=1e-10, atol=1e-10)


def test_internal_conditions_reach_both_estimates() -> None:
    names: list[list[str]] = []

    class Context(Curved):
        def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
            names.append(sorted(cond or {}))
            return x

    space = euclidean(2)
    x, sigma, one = state(space), level(space, 0.8), torch.ones(2)
    ClassifierFree(Context(), 2.0)(x, sigma, space, {"y": one, "_step": one})
    Guided(Context(), Linear(2.0), negative={"y": one})(x, sigma, space, {"y": one, "_step": one})
    ClassifierFree(Context(), 2.0)(x, sigma, space, {"_step": one})
    assert names == [["_step", "y"], ["_step"], ["_step", "y"], ["_step", "y"], ["_step"]]


@given(st.sampled_from(list(SPACES)), st.floats(1.5, 20))
def test_rescaled_guidance_has_the_spread_of_the_condition(where: str, w: float) -> None:
    space = SPACES[where](2)
    x, cond, sigma = state(space), condition([0, 1]), level(space, 0.5)
    strong, full = Curved()(x, sigma, space, cond), Guided(Curved(), Linear(w, 1.0))(x, sigma, space, cond)
    assert_close(spread(space, full), spread(space, strong))
    half = Guided(Curved(), Linear(w, 0.5))(x, sigma, space, cond)
    assert_close(half, (full + ClassifierFree(Curved(), w)(x, sigma, space, cond)) / 2)
    own = [row[row != 0] for row in strong] if where != "packed" else strong.reshape(2, -1)
    assert_close(spread(space, strong), torch.stack([values.std(correction=0) for values in own]))


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: Linear(2.0, 1.5), "rescale must be between 0 and 1, not 1.5"),
        (lambda: Projected(2.0, radius=0.0), "radius must be above 0"),
        (lambda: Projected(2.0, momentum=-1.0), "momentum must be above -1 and at most 0"),
        (lambda: Projected(2.0, momentum=0.5), "momentum must be above -1 and at most 0"),
        (lambda: Projected(2.0, eta=float("nan")), "eta must be a finite number"),
        (lambda: ClassifierFree(Curved(), 2.0, (2.0, 1.0)), r"a low and a higher noise level, not \[2.0, 1.0\]"),
        (lambda: guided("cfg_zero", zero_steps=9), "between 0 and the sampler's 6 steps, not 9"),
        (lambda: DynamicThreshold(Curved(), 1.0, 1.0), "low must be below high"),
        (lambda: DynamicThreshold(Curved(), quantile=0.0), "quantile must be above 0"),
    ],
)
def test_wrong_options_raise(use: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        use()


def test_wrappers_have_the_schedule_and_the_data_scale_of_the_wrapped_denoiser() -> None:
    denoiser = Curved(sigma_data=0.4)
    nested = DynamicThreshold(Classifier(ClassifierFree(denoiser, 2.0), likely))
    assert nested.schedule is denoiser.schedule
    assert nested.sigma_data == 0.4
    levels = noise_levels(nested.schedule, 4, "karras")
    assert all(a > b for a, b in pairwise(levels))
    x = sample(nested, euclidean(2), condition([0, 1]), generators=streams(0, "x", range(2)), **HOW)
    assert x.abs().max() <= 1


def test_a_learned_variance_passes_through_guidance() -> None:
    """The result is the wrapper's estimate and the variance of the wrapped denoiser."""

    class Varied(Curved):
        def with_variance(
            self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None
        ) -> tuple[State, Tensor]:
            return self(x, sigma, space, cond), torch.full_like(x, 0.25)

    space = euclidean(2)
    x, sigma, cond = state(space), level(space, 0.8), condition([0, 1])
    wrapper = DynamicThreshold(ClassifierFree(Varied(), 2.0), -0.1, 0.1)
    estimate, v = wrapper.with_variance(x, sigma, space, cond)
    assert torch.equal(estimate, wrapper(x, sigma, space, cond))
    assert estimate.abs().max() <= 0.1
    assert torch.equal(v, torch.full_like(x, 0.25))
    with pytest.raises(ValueError, match="does not predict the variance"):
        ClassifierFree(Curved(), 2.0).with_variance(x, sigma, space, cond)


def test_a_second_evaluation_at_one_level_replaces_the_first_in_the_average() -> None:
    space, method = euclidean(1), Projected(2.0, eta=1.0, momentum=-0.5)
    zero = torch.zeros(1, 2, 3, dtype=torch.float64)
    for sigma, expected in ((2.0, 1.0), (1.0, 0.5), (1.0, 0.5), (0.5, 0.75), (3.0, 1.0)):
        result = method(zero + 1, zero, zero, level(space, sigma), space)
        assert_close(result, zero + 1 + expected)


def test_a_shared_level_is_guided_as_a_level_for_each_sample() -> None:
    """Inside and outside an interval, and with CFG++, which looks its step up by the noise level."""
    space, rows = euclidean(2), plan(EDM(sigma_max=5.0), **HOW)
    for name in ("cfg", "cfg_pp"):
        guided = Guided(Curved(), GUIDANCE[name](0.6, rows), interval=(0.2, 2.0))
        for row in rows:
            shared = shared_level(row.at)
            each = guided(state(space), per_sample(shared, state(space), space), space, condition([0, 1]))
            assert_close(guided(state(space), shared, space, condition([0, 1])), each)
