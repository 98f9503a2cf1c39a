"""The denoiser: the inputs of the backbone, and equal estimates for all targets and frames."""

from __future__ import annotations

import pytest
import torch
from oracles import GaussianDenoiser, dense, euclidean
from torch import Tensor, nn
from torch.testing import assert_close

from polydiff.core.conditions import Condition
from polydiff.core.space import Space, shared_level
from polydiff.core.streams import streams
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.forward import q_sample
from polydiff.gaussian.guidance.guided import ClassifierFree
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.gaussian.schedule.closed_forms import EDM
from polydiff.gaussian.target import TARGETS
from polydiff.support.errors import UserError


class Seen(nn.Module):
    """A backbone that keeps its inputs and returns ones."""

    def forward(self, x: Tensor, log_sigma: Tensor, space: Space, cond: Condition | None) -> Tensor:
        self.x, self.log_sigma = x, log_sigma
        return torch.ones_like(x)


class Perfect(nn.Module):
    """A backbone that predicts the target of the exact posterior mean for data N(0, std^2)."""

    def __init__(self, target: str, std: float) -> None:
        super().__init__()
        self.target, self.std = target, std

    def forward(self, x: Tensor, log_sigma: Tensor, space: Space, cond: Condition | None) -> Tensor:
        s = space.expand(log_sigma.exp())
        x = x * (s**2 + self.std**2).sqrt()
        x_0 = self.std**2 / (s**2 + self.std**2) * x
        a, b = TARGETS[self.target](torch.ones_like(s), s, self.std)
        return a * x_0 + b * (x - x_0) / s


@pytest.mark.parametrize("schedule", list(SCHEDULES))
@pytest.mark.parametrize("target", list(TARGETS))
def test_any_target_and_frame_gives_the_same_estimate(schedule: str, target: str) -> None:
    std, space = 0.6, euclidean(9)
    s = SCHEDULES[schedule]()
    low, high = s.trained_times()
    t = torch.linspace(low, high, 9, dtype=torch.float64)
    x_0 = std * space.noise(streams(0, "x", range(9)))
    x_t, _ = q_sample(x_0, t, s, space, streams(1, "eps", range(9)))
    denoiser = Denoiser(Perfect(target, std), s, target, sigma_data=std)
    expected = GaussianDenoiser(torch.zeros_like(x_0), std)
    alpha, _ = s(t)
    assert_close(
        denoiser.estimate(x_t, t, space),
        expected(x_t / space.expand(alpha), s.noise_level(t), space),
        atol=1e-8,
        rtol=1e-8,
    )


def test_the_backbone_receives_unit_variance_and_the_log_noise_level_within_the_trained_range() -> None:
    n, space, net = 3000, euclidean(3000), Seen()
    sigma = torch.full((n,), 3.0, dtype=torch.float64)
    denoiser = Denoiser(net, EDM(sigma_max=5.0), sigma_data=0.5)
    x = 0.5 * space.noise(streams(0, "x", range(n))) + 3.0 * space.noise(streams(1, "eps", range(n)))
    denoiser(x, sigma, space)
    assert abs(net.x.var().item() - 1) < 5 * (2 / net.x.numel()) ** 0.5
    assert_close(net.log_sigma, sigma.log())
    denoiser(x, sigma * 100, space)
    assert_close(net.log_sigma, torch.full_like(sigma, 5.0).log())


def test_estimates_lie_on_the_space_for_any_output_of_the_backbone() -> None:
    space = dense(4, 5)
    x = space.noise(streams(0, "x", range(4)))
    x_0 = Denoiser(Seen(), EDM())(x, torch.ones(4, dtype=torch.float64), space)
    assert_close(space.project(x_0), x_0, atol=1e-12, rtol=0)


class Shift(nn.Module):
    """A denoiser whose estimate is the condition, or 0 without one."""

    schedule = EDM()

    def forward(self, x: Tensor, sigma: Tensor, space: Space, cond: Condition | None = None) -> Tensor:
        return torch.zeros_like(x) if cond is None else space.expand(cond["y"]) + 0 * x


def test_guidance_is_the_affine_combination_and_exact_at_zero_and_one() -> None:
    space = euclidean(3)
    x, sigma, cond = (
        space.noise(streams(0, "x", range(3))),
        torch.ones(3),
        {"y": torch.tensor([1.0, 2.0, 3.0]).double()},
    )
    for w in (0.0, 1.0, 0.5, 4.0):
        assert_close(ClassifierFree(Shift(), w)(x, sigma, space, cond), w * space.expand(cond["y"]) + 0 * x)
    assert_close(ClassifierFree(Shift(), 4.0)(x, sigma, space, None), torch.zeros_like(x))


@pytest.mark.parametrize("target", list(TARGETS))
def test_a_shared_level_gives_the_same_estimate_as_a_level_for_each_sample(target: str) -> None:
    space = dense(3, 2)
    denoiser = Denoiser(Perfect(target, 0.7), EDM(), target, sigma_data=0.7)
    x = space.noise(streams(0, "x", range(3)))
    for level in (1e-4, 0.3, 80.0, 1e4):
        shared = denoiser(x, shared_level(level), space)
        assert_close(shared, denoiser(x, torch.full((3,), level, dtype=x.dtype), space), rtol=1e-9, atol=1e-9)


def test_compile_without_a_compiler_raises_before_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import cpp_builder, exc

    def none() -> str:
        raise exc.InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none)
    denoiser = Denoiser(nn.Linear(2, 2), EDM())
    with pytest.raises(UserError, match="needs a C\\+\\+ compiler, and torch finds none"):
        denoiser.compile()
    denoiser.compile(backend="eager")  # this backend needs no compiler


@pytest.mark.parametrize("shift", [1.0, 2.0])
@pytest.mark.parametrize("target", list(TARGETS))
def test_targets_that_say_nothing_at_pure_noise_need_a_schedule_with_signal(target: str, shift: float) -> None:
    schedule = SCHEDULES["scaled_linear"](zero_terminal_snr=True, shift=shift)
    Denoiser(nn.Identity(), SCHEDULES["scaled_linear"](shift=shift), target)
    if target in ("eps", "score"):
        with pytest.raises(UserError, match=f"target={target} predicts nothing about the data"):
            Denoiser(nn.Identity(), schedule, target)
    else:
        Denoiser(nn.Identity(), schedule, target)
