"""Tests of `polydiff.gaussian.guidance.guided`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from guidance_cases import HOW, SPACES, Curved, condition, guided, level, state
from oracles import euclidean
from torch import Tensor
from torch.testing import assert_close

from polydiff.core.conditions import Condition
from polydiff.core.space import Space, State
from polydiff.core.streams import streams
from polydiff.gaussian.guidance.guided import Autoguidance, ClassifierFree, Guided, calls
from polydiff.gaussian.guidance.method import GUIDANCE, Linear
from polydiff.gaussian.sampling.execute import sample
from polydiff.gaussian.sampling.plan import plan
from polydiff.gaussian.sampling.spacing import noise_levels
from polydiff.gaussian.schedule.closed_forms import EDM


@pytest.mark.parametrize("where", list(SPACES))
def test_scale_one_is_the_strong_and_scale_zero_the_weak_estimate_to_the_bit(where: str) -> None:
    space = SPACES[where](2)
    x, sigma, cond = state(space), level(space, 0.8), condition([0, 1])
    plain = Curved()
    for name in ("cfg", "apg", "cfg_zero"):
        wrapper = guided(name, 1.0)
        assert torch.equal(wrapper(x, sigma, space, cond), plain(x, sigma, space, cond))
        assert wrapper.denoiser.calls == 1  # type: ignore[attr-defined]
    for name in ("cfg", "cfg_pp"):
        wrapper = guided(name, 0.0)
        assert torch.equal(wrapper(x, sigma, space, cond), plain(x, sigma, space, None))
        assert wrapper.denoiser.calls == 1  # type: ignore[attr-defined]
    assert torch.equal(guided("cfg")(x, sigma, space, None), plain(x, sigma, space, None))


def test_negative_conditions_and_worse_models_are_the_same_algebra() -> None:
    space = euclidean(2)
    x, sigma, cond, bad = state(space), level(space, 0.8), condition([0, 1]), {"y": torch.tensor([-0.3, 0.4])}
    good, worse = Curved(), Curved(0.1)
    d = {name: f(x, sigma, space, c) for name, f, c in (("c", good, cond), ("n", good, bad), ("g", worse, cond))}
    pushed = Guided(good, Linear(2.5), negative=bad)(x, sigma, space, cond)
    assert_close(pushed, d["n"] + 2.5 * (d["c"] - d["n"]))
    led = Autoguidance(good, worse, 2.5)(x, sigma, space, cond)
    assert_close(led, d["g"] + 2.5 * (d["c"] - d["g"]))
    both = Guided(good, Linear(2.5), worse, bad)(x, sigma, space, cond)
    assert_close(both, worse(x, sigma, space, bad) + 2.5 * (d["c"] - worse(x, sigma, space, bad)))


def test_outside_its_interval_guidance_is_the_condition_alone_and_costs_nothing() -> None:
    space = euclidean(3)
    x, cond = state(space), condition([0, 1, 2])
    sigma = torch.tensor([0.1, 1.0, 3.0], dtype=torch.float64)
    wrapper = ClassifierFree(Curved(), 4.0, (0.5, 2.0))
    result, plain = wrapper(x, sigma, space, cond), Curved()(x, sigma, space, cond)
    assert torch.equal(result[0], plain[0])
    assert torch.equal(result[2], plain[2])
    assert torch.equal(result[1], ClassifierFree(Curved(), 4.0)(x, sigma, space, cond)[1])
    levels = noise_levels(wrapper.schedule, 12, "karras")
    counted = ClassifierFree(Curved(), 4.0, (0.5, 2.0))
    sample(counted, space, cond, generators=streams(0, "x", range(3)), levels=levels, sampler="ddim")
    expected = sum(calls(Linear(4.0), (0.5, 2.0), s) for s in levels[:-1])
    assert counted.denoiser.calls == expected  # type: ignore[attr-defined]
    assert 12 < expected < 24


JOINED: dict[str, dict[str, Any]] = {
    "cfg": {},
    "negative": {"negative": {"y": torch.tensor([-0.2, 0.1, 0.3], dtype=torch.float64)}},
    "interval": {"interval": (0.2, 2.0)},
    "interval within a batch": {"interval": (0.2, 0.7)},
}


class Known(Curved):
    """A curved denoiser to which NaN means no condition, as to a network, and which is conditioned on its steps."""

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        cond = cond or {}
        y = cond.get("y", torch.zeros_like(sigma)).nan_to_num(0.0) + cond.get("_step", torch.zeros_like(sigma))
        return super().__call__(x, sigma, space, {"y": y})


@pytest.mark.parametrize("where", list(SPACES))
@pytest.mark.parametrize("name", [*GUIDANCE, *JOINED])
def test_both_estimates_in_one_call_are_those_of_two(name: str, where: str) -> None:
    """A batch twice over: each method, negative and private conditions, levels that differ within a batch."""
    space, scale = SPACES[where](3), 0.6 if name == "cfg_pp" else 3.0
    method = GUIDANCE[name if name in GUIDANCE else "cfg"](scale, plan(EDM(sigma_max=5.0), **HOW))
    cond = {**condition([0, 1, 2]), "_step": torch.tensor([0.1, 0.0, 0.3], dtype=torch.float64)}
    sigma = torch.tensor([0.3, 0.5, 0.9], dtype=torch.float64)
    estimates, evaluations = [], []
    for joined in (False, True):
        denoiser = Known()
        guided = Guided(denoiser, method, joined=joined, **JOINED.get(name, {}))
        estimates.append(guided(state(space), sigma, space, cond))
        evaluations.append(denoiser.calls)
    assert_close(*estimates, atol=1e-12, rtol=1e-12)
    assert evaluations == [2, 1]


def test_a_space_that_cannot_be_repeated_takes_two_calls() -> None:
    class Plain:
        """A space of the protocol's words alone."""

        def __init__(self, whole: Space) -> None:
            self.batch, self.dim, self.noise = whole.batch, whole.dim, whole.noise
            self.project, self.expand, self.sum, self.to = whole.project, whole.expand, whole.sum, whole.to

    space, denoiser = euclidean(2), Known()
    estimate = Guided(denoiser, Linear(2.0), joined=True)(
        state(space), level(space, 1.0), Plain(space), condition([0, 1])
    )
    assert denoiser.calls == 2
    assert_close(estimate, Guided(Known(), Linear(2.0))(state(space), level(space, 1.0), space, condition([0, 1])))
