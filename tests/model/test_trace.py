"""Tests of `polydiff.model.trace`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_runs import tiny

from polydiff.core.process.sampling import Traces
from polydiff.model.model import Model
from polydiff.model.trace import trace
from polydiff.support.protocols import provides


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.load(tiny("image", tmp_path_factory.mktemp("runs") / "image-001"))


@pytest.mark.parametrize(
    "how",
    [
        {"sampler": "ddim", "steps": 5, "guidance": 1.0},
        {"sampler": "heun", "steps": 4, "guidance": 2.0},
        {"sampler": "ddim", "options": {"eta": 1}, "steps": 6, "guidance": 1.0},
        {"sampler": "heun", "options": {"churn": 10}, "steps": 4, "guidance": 1.0},  # begins with a row of noise
    ],
)
def test_the_way_ends_at_the_samples_and_begins_in_noise(model: Model, how: dict[str, Any]) -> None:
    request = model.request(**how)
    scenes = trace(request, range(3), seed=4, most=100)
    samples = request.joined(range(3), 4)
    assert len(scenes) == request.evaluations() / (1 if how["guidance"] == 1 else 2) + 1
    for x in (scenes[-1].state, scenes[-1].estimate):
        assert all(bool((a == b).all()) for a, b in zip(x, samples, strict=True))
    levels = [scene.level for scene in scenes]
    if "churn" not in how.get("options", {}):  # which raises the level again
        assert levels == sorted(levels, reverse=True)
    assert levels[0] >= request.plan.levels[0]  # type: ignore[attr-defined]
    assert levels[-1] == 0
    first, noise = (torch.stack(list(x)).float() for x in (scenes[0].estimate, model.noise(3)))
    assert first.std() < 0.5 * noise.std()  # an estimate, not the state


def test_states_have_about_the_spread_of_data_at_every_level_and_estimates_follow_from_them(model: Model) -> None:
    """At the highest level, the state is the noise of `polydiff sample`, and the estimate is the network's."""
    request = model.request(sampler="ddim", steps=4, guidance=1.0)
    draw = request.draw(*request.blank(range(64), 0), 0, range(64))
    plan = request.plan
    assert provides(plan, Traces)
    moments = list(plan.trace(draw))
    first = moments[0]
    assert float(first.x.std()) == pytest.approx(model.denoiser.sigma_data, rel=0.05)
    assert all(0.3 < float(moment.x.std()) / model.denoiser.sigma_data < 1.5 for moment in moments)
    x = first.x * (first.level**2 + model.denoiser.sigma_data**2) ** 0.5 / model.denoiser.sigma_data
    with torch.no_grad():
        found = model.denoiser(x, torch.tensor(first.level), draw.space, draw.cond)
    assert torch.allclose(found, first.estimate, atol=2e-3)


def test_a_long_way_is_thinned_evenly_with_both_ends(model: Model) -> None:
    request = model.request(sampler="ddim", steps=15)
    every, few = (trace(request, [0], seed=0, most=most) for most in (100, 8))
    assert len(few) == 8
    assert [scene.level for scene in few] == [every[i].level for i in (0, 2, 4, 6, 9, 11, 13, 15)]


def test_a_solver_that_evaluates_the_network_by_itself_has_no_way(model: Model) -> None:
    assert trace(model.request(sampler="adaptive"), [0], seed=0, most=8) == []


def test_a_plan_without_this_ability_has_no_way(model: Model) -> None:
    class Foreign:
        def run(self, draw: Any, guide: Any = None) -> Any: ...

    assert trace(replace(model.request(), plan=Foreign()), [0], seed=0, most=8) == []  # type: ignore[arg-type]
