"""Self-conditioning: which estimate the network is conditioned on, in sampling and in training."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

from polydiff.config.merge import resolve
from polydiff.config.processes import build_denoiser
from polydiff.config.saved import config_from
from polydiff.contract.discover import build_domain
from polydiff.contract.sections.training import OptimConfig
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
class Recorder:
    """A denoiser that records the estimates it is conditioned on, and returns a third of the state."""

    schedule: Schedule = field(default_factory=lambda: SCHEDULES["edm"]())
    sigma_data: float = 1.0
    calls: list[tuple[float, Tensor, Tensor]] = field(default_factory=list)
    """Noise level, estimate that was given, estimate that is returned."""

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        self.calls.append((float(sigma.flatten()[0]), (cond or {})[ESTIMATE], x / 3))
        return x / 3


@pytest.mark.parametrize("sampler", ["ddim", "heun", "dpmpp_2m", "sa_solver", "ddpm"])
def test_each_call_is_conditioned_on_the_estimate_of_the_call_before(sampler: str) -> None:
    recorder, space = Recorder(), Euclidean(3, (2,))
    sample(SelfConditioned(recorder), space, generators=streams(0, "sample", range(3)), steps=6, sampler=sampler)
    assert recorder.calls[0][1].isnan().all()
    for (before, _, returned), (level, given, _) in zip(recorder.calls, recorder.calls[1:], strict=False):
        assert torch.equal(given, returned) if level <= before else given.isnan().all()
    assert len(recorder.calls) >= 6


def test_another_run_starts_without_an_estimate() -> None:
    recorder, space = Recorder(), Euclidean(2, (2,))
    remembering = SelfConditioned(recorder)
    x = torch.ones(2, 2)
    remembering(x, torch.full((2,), 1.0), space)
    remembering(x, torch.tensor([0.5, 2.0]), space)  # the noise level of the second sample rises
    assert recorder.calls[-1][1].isnan().tolist() == [[False, False], [True, True]]
    remembering(x, torch.full((2,), 0.1), Euclidean(2, (2,)))
    assert recorder.calls[-1][1].isnan().all()


def test_guidance_conditions_both_estimates_on_the_guided_one() -> None:
    @dataclass
    class Shifted(Recorder):
        def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
            estimate = super().__call__(x, sigma, space, cond)
            return estimate + 1 if "label" in (cond or {}) else estimate

    inner = Shifted()
    model = SelfConditioned(ClassifierFree(inner, 3.0))
    x, space = torch.zeros(1, 2), Euclidean(1, (2,))
    for level in (2.0, 1.0):
        model(x, torch.full((1,), level), space, {"label": torch.tensor([0])})
    strong, weak = inner.calls[2:]
    assert torch.equal(strong[1], torch.full((1, 2), 3.0))
    assert torch.equal(weak[1], strong[1])


def test_estimates_carry_the_known_values_to_the_next_call() -> None:
    inner, space = Recorder(), Euclidean(1, (2,))
    levels = noise_levels(inner.schedule, 6)
    mask, known = torch.tensor([True, False]), torch.tensor([[0.7, 9.0]])
    rows = repaint(levels, "ddim")
    x = inpaint(SelfConditioned(inner), rows, space, known=known, mask=mask, generators=streams(0, "sample", range(1)))
    assert torch.equal(x[:, 0], known[:, 0])
    for (_, _, returned), (_, given, _) in zip(inner.calls, inner.calls[1:], strict=False):
        torch.testing.assert_close(given, torch.where(mask, known, returned))


class Echo(nn.Module):
    """A backbone with F = w times the given estimate, or w without one."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.5))
        self.calls: list[bool] = []

    def forward(self, x: Tensor, log_sigma: Tensor, space: Space, cond: Condition | None = None) -> Tensor:
        estimate = (cond or {}).get(ESTIMATE)
        self.calls.append(estimate is not None)
        return 0 * x + self.w * (1.0 if estimate is None else estimate)


def test_every_second_training_step_evaluates_twice_and_has_no_gradient_of_the_first() -> None:
    echo = Echo()
    denoiser = Denoiser(echo, SCHEDULES["edm"](), "x0", self_condition=True)
    batch = Batch(torch.full((4, 2), 2.0), Euclidean(4, (2,)))
    run = fit(Training(denoiser, optim=OptimConfig(lr=1e-9)), lambda _: batch, steps=4, batch_size=4, workers=0)
    losses = [record.loss for record in run]
    assert echo.calls == [False, False, True, False, False, True]
    assert losses[0] == pytest.approx((2 - 0.5) ** 2, rel=1e-4)
    assert losses[1] == pytest.approx((2 - 0.5 * 0.5) ** 2, rel=1e-4)
    loss = Loss()(denoiser, batch, torch.ones(4), streams(0, "noise", range(4)), self_condition=True).mean()
    (slope,) = torch.autograd.grad(loss, [echo.w])
    assert float(slope) == pytest.approx(-2 * (2 - 0.25) * 0.5, rel=1e-4)  # the estimate 0.5 counts as a constant


def test_interpolation_does_not_use_the_last_estimate() -> None:
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


def test_objectives_that_do_not_train_it_raise() -> None:
    from polydiff.gaussian.process.checks import check_names

    words = {"backbone.self_condition": "true", "loss.objective": "ect"}
    with pytest.raises(UserError, match=r"only loss\.objective=denoising trains it, not ect"):
        check_names(resolve("image", words=words).config)


def test_a_saved_configuration_without_a_key_has_the_default_of_its_time() -> None:
    saved = resolve("audio").config.model_dump(mode="json")
    assert saved["backbone"].pop("ends") != 0
    assert saved["backbone"].pop("self_condition") is False
    again = config_from(saved).backbone.model_dump()
    assert (again["ends"], again["self_condition"]) == (0, False)
    assert again["channels"] == saved["backbone"]["channels"]


@pytest.mark.parametrize("dense", [True, False])
def test_components_of_a_state_have_separate_weights(dense: bool) -> None:
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


def test_weights_of_components_raise_for_states_without_components() -> None:
    batch = Batch(torch.zeros(2, 3), Euclidean(2, (3,)))
    denoiser = Denoiser(Echo(), SCHEDULES["edm"](), "x0")
    with pytest.raises(UserError, match="Unknown component"):
        Loss(components={"features": 1.0})(denoiser, batch, torch.ones(2), streams(0, "noise", range(2)))
