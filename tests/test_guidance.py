"""Guidance against closed forms and published algorithms; what every wrapper keeps: space, symmetry, independence."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import GaussianDenoiser, dense, euclidean, packed
from torch import Tensor
from torch.testing import assert_close

from polydiff.denoise import Denoise
from polydiff.guidance import (
    GUIDANCE,
    Autoguidance,
    Classifier,
    ClassifierFree,
    DynamicThreshold,
    Guided,
    Linear,
    Projected,
    ZeroStar,
    calls,
)
from polydiff.guidance.method import spread
from polydiff.guidance.threshold import quantile
from polydiff.random import streams
from polydiff.sampling import SAMPLERS, Row, noise_levels, plan, run_plan, sample
from polydiff.schedule import EDM, SCHEDULES, Schedule
from polydiff.space import Condition, Space, State, per_sample, shared_level, sqnorm

SPACES: dict[str, Callable[[int], Space]] = {
    "euclidean": euclidean,
    "dense": lambda b: dense(b, 4),
    "packed": lambda b: packed(b, 4),
}
HOW: dict[str, Any] = {"steps": 6, "sampler": "ddim", "spacing": "karras", "eta": 0.5}


@dataclass
class Curved:
    """A smooth estimate that is linear in nothing, turns and permutes with the state, and knows a condition y."""

    strength: float = 0.3
    schedule: Schedule = field(default_factory=lambda: EDM(sigma_max=5.0))
    sigma_data: float = 1.0
    calls: int = 0

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        self.calls += 1
        unit = x / space.expand(torch.sqrt(1 + sigma**2))
        y = torch.zeros_like(sigma) if cond is None else cond["y"].to(sigma)
        bend = unit * torch.tanh((unit * unit).sum(-1, keepdim=True))
        return space.project(unit / space.expand(torch.sqrt(1 + sigma**2)) + space.expand(self.strength + y) * bend)


def guided(name: str, scale: float = 3.0, **options: Any) -> Guided:
    """The curved denoiser with a method of the registry, for the plan `HOW`."""
    denoiser = Curved()
    return Guided(denoiser, GUIDANCE[name](scale, plan(denoiser.schedule, **HOW), **options))


def likely(x: State, sigma: Tensor, space: Space) -> Tensor:
    """A likelihood that does not turn with the state."""
    return -space.dim / 2 * torch.log(1 + sqnorm(space, x) / space.dim + sigma**2)


def negative(space: Space) -> Guided:
    """Guidance away from y = -0.2."""
    return Guided(Curved(), Linear(2.0), negative={"y": torch.full((space.batch,), -0.2)})


WRAPPERS: dict[str, Callable[[Space], Denoise]] = {
    "cfg": lambda space: guided("cfg"),
    "rescale": lambda space: guided("cfg", rescale=0.7),
    "interval": lambda space: ClassifierFree(Curved(), 3.0, (0.2, 2.0)),
    "cfg_pp": lambda space: guided("cfg_pp", 0.6),
    "apg": lambda space: guided("apg", eta=0.2, radius=0.1, momentum=-0.5),
    "cfg_zero": lambda space: guided("cfg_zero", zero_steps=1),
    "auto": lambda space: Autoguidance(Curved(), Curved(0.1), 2.0),
    "negative": negative,
    "classifier": lambda space: Classifier(Curved(), likely, 2.0),
}


def condition(indices: list[int]) -> Condition:
    """Conditions that differ from sample to sample."""
    return {"y": torch.tensor([0.2 + 0.1 * i for i in indices], dtype=torch.float64)}


def draw(wrapper: str, space: Space, indices: list[int]) -> State:
    """Samples of a wrapped denoiser."""
    denoise = WRAPPERS[wrapper](space)
    return sample(denoise, space, condition(indices), generators=streams(0, "x", indices), **HOW)


def state(space: Space, scale: float = 1.0) -> State:
    return scale * space.noise(streams(7, "state", range(space.batch)))


def level(space: Space, sigma: float) -> Tensor:
    return torch.full((space.batch,), sigma, dtype=torch.float64)


@pytest.mark.parametrize("where", list(SPACES))
@pytest.mark.parametrize("wrapper", list(WRAPPERS))
def test_a_guided_sample_depends_on_itself_alone_and_stays_on_its_space(wrapper: str, where: str) -> None:
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
        for sigma in (5.0, 1.5):  # the second evaluation sees what the first one left behind
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


def test_what_a_network_is_told_besides_conditions_reaches_both_estimates() -> None:
    told: list[list[str]] = []

    class Told(Curved):
        def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
            told.append(sorted(cond or {}))
            return x

    space = euclidean(2)
    x, sigma, one = state(space), level(space, 0.8), torch.ones(2)
    ClassifierFree(Told(), 2.0)(x, sigma, space, {"y": one, "_step": one})
    Guided(Told(), Linear(2.0), negative={"y": one})(x, sigma, space, {"y": one, "_step": one})
    ClassifierFree(Told(), 2.0)(x, sigma, space, {"_step": one})
    assert told == [["_step", "y"], ["_step"], ["_step", "y"], ["_step", "y"], ["_step"]]


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
def test_cfg_plus_plus_refuses_samplers_that_it_is_not_defined_for(sampler: str) -> None:
    with pytest.raises(ValueError, match=r"CFG\+\+ is defined by what a first-order step does.*Use the sampler ddim"):
        GUIDANCE["cfg_pp"](0.5, SAMPLERS[sampler](noise_levels(EDM(), 5, "karras")))
    with pytest.raises(ValueError, match="needs the rows"):
        GUIDANCE["cfg_pp"](0.5, [])


def test_projected_guidance_is_the_published_algorithm() -> None:
    """Algorithm 1 of Sadat et al., 2024, over three steps, on one flattened sample."""
    eta, r, beta, w, d = 0.3, 1.1, -0.5, 6.0, 6
    space, average = euclidean(1), torch.zeros(d, dtype=torch.float64)
    method = Projected(w, eta, r / math.sqrt(d), beta)
    for k, sigma in enumerate((4.0, 2.0, 0.5)):
        c, u = (space.noise(streams(2 * k + j, "estimate", [0])) for j in range(2))
        result = method(c, u, c, level(space, sigma), space).flatten()
        c, u = c.flatten(), u.flatten()
        average = (c - u) + beta * average
        diff = average * min(1.0, r / average.norm().item())
        unit = c / c.norm()
        parallel = (diff @ unit) * unit
        assert_close(result, c + (w - 1) * (diff - parallel + eta * parallel), rtol=1e-12, atol=1e-12)
    c, u = c.reshape(1, 2, 3), u.reshape(1, 2, 3)
    assert_close(Projected(w, eta=1.0)(c, u, c, level(space, 1.0), space), u + w * (c - u))


@pytest.mark.parametrize("sampler", ["ddim", "heun"])
@pytest.mark.parametrize("steps", [1, 5])
def test_the_momentum_of_a_run_does_not_reach_the_next(sampler: str, steps: int) -> None:
    def draw(wrapper: Denoise, n: int) -> State:
        space, how = euclidean(n), {"steps": steps, "sampler": sampler, "spacing": "karras"}
        return sample(wrapper, space, condition([0, 1, 2, 3][:n]), generators=streams(0, "x", range(n)), **how)

    wrapper = guided("apg", momentum=-0.7)
    first = draw(wrapper, 2)
    assert torch.equal(draw(wrapper, 2), first)
    draw(wrapper, 4)
    assert torch.equal(draw(wrapper, 2), first)
    if steps > 1:
        assert not torch.allclose(draw(guided("apg"), 2), first)


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


@given(st.sampled_from(list(SPACES)), st.floats(0.01, 20), st.floats(0.2, 3))
def test_an_exact_classifier_gives_the_exact_posterior(where: str, sigma: float, noise: float) -> None:
    """Prior N(m, v P), likelihood N(y; x_0, noise^2 P): the posterior is Gaussian too, and so is its denoiser."""
    space, v = SPACES[where](2), 0.49
    x, m, y = (space.noise(streams(k, "x", range(2))) for k in range(3))
    prior = GaussianDenoiser(m, math.sqrt(v))

    def log_prob(x: State, sigma: Tensor, space: Space) -> Tensor:
        variance = noise**2 + sigma**2 * v / (sigma**2 + v)
        return -sqnorm(space, y - prior(x, sigma, space)) / (2 * variance)

    v_y = 1 / (1 / v + 1 / noise**2)
    posterior = GaussianDenoiser(v_y * (m / v + y / noise**2), math.sqrt(v_y))
    result = Classifier(prior, log_prob)(x, level(space, sigma), space)
    assert_close(result, posterior(x, level(space, sigma), space), rtol=1e-9, atol=1e-9)
    unguided = Classifier(prior, log_prob, 0.0)(x, level(space, sigma), space)
    assert torch.equal(unguided, prior(x, level(space, sigma), space))


def test_thresholds_keep_bounded_data_in_bounds_and_change_nothing_within() -> None:
    space = euclidean(3)
    values = torch.linspace(-4, 6, 18, dtype=torch.float64).reshape(3, 2, 3)
    still = GaussianDenoiser(values, 1e-9)
    x, sigma = torch.zeros_like(values), level(space, 1.0)
    result = DynamicThreshold(still, -1.0, 3.0, 0.9)(x, sigma, space)
    assert result.min() >= -1
    assert result.max() <= 3
    off = values - 1
    q = off.abs().flatten(1).quantile(0.9, dim=1).clamp(min=2)[:, None, None]
    assert_close(result, 1 + off.clamp(-q, q) * 2 / q, rtol=1e-8, atol=1e-8)
    assert_close(DynamicThreshold(still, -5, 7)(x, sigma, space), values, rtol=1e-8, atol=1e-8)
    rows = torch.arange(21, dtype=torch.float64).sin().reshape(3, 7)
    for p in (0.1, 0.5, 0.995, 1.0):
        assert_close(quantile(rows, p), rows.quantile(p, dim=1))


def test_thresholds_refuse_data_without_bounds() -> None:
    space = dense(2, 4)
    with pytest.raises(ValueError, match=r"DenseMolecules has none\. Use apg or rescale"):
        DynamicThreshold(Curved())(state(space), level(space, 1.0), space)


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
def test_options_of_no_use_are_refused(use: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        use()


def test_wrappers_look_like_what_they_wrap() -> None:
    denoiser = Curved(sigma_data=0.4)
    nested = DynamicThreshold(Classifier(ClassifierFree(denoiser, 2.0), likely))
    assert nested.schedule is denoiser.schedule
    assert nested.sigma_data == 0.4
    levels = noise_levels(nested.schedule, 4, "karras")
    assert all(a > b for a, b in pairwise(levels))
    x = sample(nested, euclidean(2), condition([0, 1]), generators=streams(0, "x", range(2)), **HOW)
    assert x.abs().max() <= 1


def test_a_learned_variance_passes_through_guidance() -> None:
    """A wrapper's estimate, and what the wrapped denoiser says of the variance."""

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
    with pytest.raises(ValueError, match="says nothing of the variance"):
        ClassifierFree(Curved(), 2.0).with_variance(x, sigma, space, cond)


def test_a_second_evaluation_at_one_level_goes_on_from_what_the_first_did() -> None:
    space, method = euclidean(1), Projected(2.0, eta=1.0, momentum=-0.5)
    zero = torch.zeros(1, 2, 3, dtype=torch.float64)
    for sigma, expected in ((2.0, 1.0), (1.0, 0.5), (1.0, 0.5), (0.5, 0.75), (3.0, 1.0)):
        result = method(zero + 1, zero, zero, level(space, sigma), space)
        assert_close(result, zero + 1 + expected)


def test_a_classifier_that_knows_no_space_does_not_lead_off_it() -> None:
    space = dense(2, 4)
    x = state(space)
    weights = torch.arange(x.numel(), dtype=torch.float64).reshape(x.shape).sin()
    result = Classifier(Curved(), lambda x, sigma, space: space.sum(weights * x) + x.sum())(x, level(space, 1.0), space)
    assert_close(space.project(result), result, rtol=0, atol=1e-12)


def test_a_row_that_takes_nothing_from_the_estimate_is_no_first_order_step() -> None:
    with pytest.raises(ValueError, match="CFG"):
        GUIDANCE["cfg_pp"](0.5, [Row(1.0, 1.0, (0.0,), 0.0, 0.5)])


JOINED: dict[str, dict[str, Any]] = {
    "cfg": {},
    "negative": {"negative": {"y": torch.tensor([-0.2, 0.1, 0.3], dtype=torch.float64)}},
    "interval": {"interval": (0.2, 2.0)},
    "interval within a batch": {"interval": (0.2, 0.7)},
}


class Known(Curved):
    """A curved denoiser to which NaN means what no condition means, as to a network, and which is told its steps."""

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
    told = {**condition([0, 1, 2]), "_step": torch.tensor([0.1, 0.0, 0.3], dtype=torch.float64)}
    sigma = torch.tensor([0.3, 0.5, 0.9], dtype=torch.float64)
    estimates, evaluations = [], []
    for joined in (False, True):
        denoiser = Known()
        guided = Guided(denoiser, method, joined=joined, **JOINED.get(name, {}))
        estimates.append(guided(state(space), sigma, space, told))
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


def test_a_shared_level_is_guided_as_one_a_sample() -> None:
    """Within an interval or not, and the step that CFG++ finds by a noise level."""
    space, rows = euclidean(2), plan(EDM(sigma_max=5.0), **HOW)
    for name in ("cfg", "cfg_pp"):
        guided = Guided(Curved(), GUIDANCE[name](0.6, rows), interval=(0.2, 2.0))
        for row in rows:
            shared = shared_level(row.at)
            each = guided(state(space), per_sample(shared, state(space), space), space, condition([0, 1]))
            assert_close(guided(state(space), shared, space, condition([0, 1])), each)
