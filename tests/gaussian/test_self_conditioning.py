"""Self-conditioning: what the network is told, when, and that training with it learns from it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

from polydiff.config.merge import resolve
from polydiff.config.processes import build_denoiser
from polydiff.config.saved import config_from
from polydiff.contract.discover import build_domain
from polydiff.contract.sections import OptimConfig
from polydiff.core.conditions import ESTIMATE, Condition
from polydiff.core.space import Batch, Euclidean, Space, State
from polydiff.core.streams import streams
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.gaussian.control.replacement import inpaint, repaint
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.guidance.guided import ClassifierFree
from polydiff.gaussian.loss.base import Loss
from polydiff.gaussian.sampling.execute import sample
from polydiff.gaussian.sampling.spacing import noise_levels
from polydiff.gaussian.schedule.base import SCHEDULES, Schedule
from polydiff.gaussian.self_conditioning import SelfConditioned
from polydiff.model.edit import interpolate
from polydiff.model.model import Model
from polydiff.support.errors import UserError
from polydiff.training.loop import Training, fit


@dataclass
class Listener:
    """A denoiser that notes what it is told, and says a third of what it sees."""

    schedule: Schedule = field(default_factory=lambda: SCHEDULES["edm"]())
    sigma_data: float = 1.0
    told: list[tuple[float, Tensor, Tensor]] = field(default_factory=list)

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        self.told.append((float(sigma.flatten()[0]), (cond or {})[ESTIMATE], x / 3))
        return x / 3


@pytest.mark.parametrize("sampler", ["ddim", "heun", "dpmpp_2m", "sa_solver", "ddpm"])
def test_each_call_is_told_what_the_call_before_said(sampler: str) -> None:
    listener, space = Listener(), Euclidean(3, (2,))
    sample(SelfConditioned(listener), space, generators=streams(0, "sample", range(3)), steps=6, sampler=sampler)
    assert listener.told[0][1].isnan().all()
    for (before, _, said), (level, told, _) in zip(listener.told, listener.told[1:], strict=False):
        assert torch.equal(told, said) if level <= before else told.isnan().all()
    assert len(listener.told) >= 6


def test_another_run_begins_with_nothing() -> None:
    listener, space = Listener(), Euclidean(2, (2,))
    remembering = SelfConditioned(listener)
    x = torch.ones(2, 2)
    remembering(x, torch.full((2,), 1.0), space)
    remembering(x, torch.tensor([0.5, 2.0]), space)  # the second sample's noise has grown
    assert listener.told[-1][1].isnan().tolist() == [[False, False], [True, True]]
    remembering(x, torch.full((2,), 0.1), Euclidean(2, (2,)))
    assert listener.told[-1][1].isnan().all()


def test_guidance_tells_both_estimates_the_guided_one() -> None:
    @dataclass
    class Shifted(Listener):
        def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
            said = super().__call__(x, sigma, space, cond)
            return said + 1 if "label" in (cond or {}) else said

    inner = Shifted()
    model = SelfConditioned(ClassifierFree(inner, 3.0))
    x, space = torch.zeros(1, 2), Euclidean(1, (2,))
    for level in (2.0, 1.0):
        model(x, torch.full((1,), level), space, {"label": torch.tensor([0])})
    strong, weak = inner.told[2:]
    assert torch.equal(strong[1], torch.full((1, 2), 3.0))
    assert torch.equal(weak[1], strong[1])


def test_known_parts_are_told_as_they_are_known() -> None:
    inner, space = Listener(), Euclidean(1, (2,))
    levels = noise_levels(inner.schedule, 6)
    mask, known = torch.tensor([True, False]), torch.tensor([[0.7, 9.0]])
    rows = repaint(levels, "ddim")
    x = inpaint(SelfConditioned(inner), rows, space, known=known, mask=mask, generators=streams(0, "sample", range(1)))
    assert torch.equal(x[:, 0], known[:, 0])
    for (_, _, said), (_, told, _) in zip(inner.told, inner.told[1:], strict=False):
        torch.testing.assert_close(told, torch.where(mask, known, said))


class Echo(nn.Module):
    """F = w times the estimate that it is told, 0 where there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.5))
        self.calls: list[bool] = []

    def forward(self, x: Tensor, log_sigma: Tensor, space: Space, cond: Condition | None = None) -> Tensor:
        estimate = (cond or {}).get(ESTIMATE)
        self.calls.append(estimate is not None)
        return 0 * x + self.w * (1.0 if estimate is None else estimate)


def test_every_second_step_of_training_looks_twice_and_sends_no_gradient_through_the_first() -> None:
    echo = Echo()
    denoiser = Denoiser(echo, SCHEDULES["edm"](), "x0", self_condition=True)
    batch = Batch(torch.full((4, 2), 2.0), Euclidean(4, (2,)))
    run = fit(Training(denoiser, optim=OptimConfig(lr=1e-9)), lambda _: batch, steps=4, batch_size=4, workers=0)
    losses = [record.loss for record in run]
    assert echo.calls == [False, False, True, False, False, True]
    assert losses[0] == pytest.approx((2 - 0.5) ** 2, rel=1e-4)
    assert losses[1] == pytest.approx((2 - 0.5 * 0.5) ** 2, rel=1e-4)
    loss = Loss()(denoiser, batch, torch.ones(4), streams(0, "noise", range(4)), look_twice=True).mean()
    (slope,) = torch.autograd.grad(loss, [echo.w])
    assert float(slope) == pytest.approx(-2 * (2 - 0.25) * 0.5, rel=1e-4)  # of w alone where it multiplies 0.5


def test_ways_between_examples_are_of_one_flow_that_needs_no_last_estimate() -> None:
    words = {"backbone.channels": "16", "backbone.blocks": "1", "backbone.self_condition": "true"}
    config = resolve("image", words=words).config
    domain = build_domain(config)
    model = Model(config, domain, build_denoiser(config, domain, torch.device("cpu")).eval())
    with torch.no_grad():
        for p in model.denoiser.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())), alpha=0.1)
    a, b = (domain.batch("test", [i], streams(0, "augment", [i])) for i in range(2))
    (alone,), (begin, later) = (interpolate(model, a, b, shares, steps=24) for shares in ([0.5], [0.0, 0.5]))
    assert torch.equal(alone.examples[0], later.examples[0])
    given = domain.decode(a.x, a.space)[0]
    assert float((begin.examples[0].float() - given.float()).abs().mean()) < 1  # of 255


def test_objectives_that_do_not_teach_it_are_refused() -> None:
    from polydiff.gaussian.process.checks import check_names

    words = {"backbone.self_condition": "true", "loss.objective": "ect"}
    with pytest.raises(UserError, match=r"only loss\.objective=denoising trains it, not ect"):
        check_names(resolve("image", words=words).config)


def test_a_saved_configuration_has_the_defaults_of_its_own_time() -> None:
    saved = resolve("audio").config.model_dump(mode="json")
    assert saved["backbone"].pop("ends") != 0
    assert saved["backbone"].pop("self_condition") is False
    again = config_from(saved).backbone.model_dump()
    assert (again["ends"], again["self_condition"]) == (0, False)
    assert again["channels"] == saved["backbone"]["channels"]


@pytest.mark.parametrize("dense", [True, False])
def test_components_have_weights_of_their_own(dense: bool) -> None:
    sizes = torch.tensor([2, 5])
    space = (DenseMolecules if dense else PackedMolecules).of_sizes(sizes, 3)

    class Zero(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(()))

        def forward(self, x: Tensor, log_sigma: Tensor, space: Space, cond: Condition | None = None) -> Tensor:
            return x * self.w

    denoiser = Denoiser(Zero(), SCHEDULES["edm"](), "eps")
    batch = Batch(space.project(torch.zeros_like(space.noise(streams(0, "x", range(2))))), space)
    eps = space.noise(streams(0, "noise", range(2)))
    weights = {"positions": 3.0, "features": 0.25}
    found = Loss(components=weights)(denoiser, batch, torch.ones(2), streams(0, "noise", range(2)))
    squares = eps**2
    expected = (3 * space.sum(squares[..., :3]) + 0.25 * space.sum(squares[..., 3:])) / space.dim
    torch.testing.assert_close(found, expected)
    with pytest.raises(UserError, match="Unknown component of these states 'types'"):
        Loss(components={"types": 1.0})(denoiser, batch, torch.ones(2), streams(0, "noise", range(2)))


def test_states_without_components_refuse_weights_for_them() -> None:
    batch = Batch(torch.zeros(2, 3), Euclidean(2, (3,)))
    denoiser = Denoiser(Echo(), SCHEDULES["edm"](), "x0")
    with pytest.raises(UserError, match="Unknown component"):
        Loss(components={"features": 1.0})(denoiser, batch, torch.ones(2), streams(0, "noise", range(2)))
