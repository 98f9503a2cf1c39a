"""Losses: the residual's scale, the weightings' definitions, and what must not matter."""

from __future__ import annotations

import math

import pytest
import torch
from oracles import GaussianDenoiser, dense, euclidean
from torch import Tensor, nn
from torch.testing import assert_close

from polydiff.denoise import Denoiser
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.loss import NORMS, TIMES, WEIGHTINGS, Loss, stratified
from polydiff.random import stream, streams
from polydiff.schedule import EDM, SCHEDULES
from polydiff.space import Batch, Condition, Space, sqnorm
from polydiff.target import TARGETS


class Fixed(nn.Module):
    """A network with one weight: F = w x on each element."""

    def __init__(self, w: float = 0.3) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w, dtype=torch.float64))

    def forward(self, x: Tensor, log_sigma: Tensor, space: Space, cond: Condition | None) -> Tensor:
        return self.w * x + torch.sin(space.expand(log_sigma))


@pytest.mark.parametrize("target", list(TARGETS))
@pytest.mark.parametrize("weighting", list(WEIGHTINGS))
def test_loss_is_the_weighted_error_of_the_clean_state_per_dimension(target: str, weighting: str) -> None:
    """Formed from the estimate of x_0 itself, which the loss avoids: w |D - x_0|^2 / dim."""
    space = dense(6, 5)
    x_0 = space.noise(streams(0, "x", range(6)))
    sigma = torch.logspace(-2, 1.5, 6, dtype=torch.float64)
    denoiser = Denoiser(Fixed(), EDM(), target, sigma_data=0.5)
    loss = Loss(weighting=weighting)(denoiser, Batch(x_0, space), sigma, streams(0, "eps", range(6)))
    x = x_0 + space.expand(sigma) * space.noise(streams(0, "eps", range(6)))
    error = sqnorm(space, denoiser(x, sigma, space) - x_0) / space.dim
    snr = sigma**-2
    a, b = TARGETS[target](torch.ones_like(sigma), sigma, 0.5)
    weight = {
        "simple": ((b - sigma * a) / sigma) ** 2,
        "snr": snr,
        "truncated_snr": snr.clamp(min=1),
        "min_snr": snr.clamp(max=5),
        "edm": (sigma**2 + 0.25) / (0.5 * sigma) ** 2,
        "x0": torch.ones_like(sigma),
    }[weighting]
    assert_close(loss, weight * error, rtol=1e-8, atol=1e-10)


def test_simple_weighting_of_eps_is_ddpm_and_of_edm_is_edm() -> None:
    s = torch.logspace(-3, 2, 20, dtype=torch.float64)
    one = torch.ones_like(s)
    for target, same in (("eps", "snr"), ("edm", "edm"), ("x0", "x0")):
        a, b = TARGETS[target](one, s, 0.5)
        c = s / (b - s * a).abs()
        assert_close(WEIGHTINGS["simple"](s, c, 0.5), WEIGHTINGS[same](s, c, 0.5), rtol=1e-10, atol=0)


def test_padding_and_layout_do_not_change_a_loss() -> None:
    sizes = torch.tensor([2, 5, 9])
    spaces = [cls.of_sizes(sizes, 2, torch.float64) for cls in (DenseMolecules, PackedMolecules)]
    spaces.append(DenseMolecules(nn.functional.pad(spaces[0].mask, (0, 4)), 2, torch.float64))
    sigma = torch.tensor([0.1, 1.0, 5.0], dtype=torch.float64)
    denoiser = Denoiser(Fixed(), EDM())
    losses = []
    for space in spaces:
        x_0 = space.noise(streams(0, "x", range(3)))
        losses.append(Loss()(denoiser, Batch(x_0, space), sigma, streams(0, "eps", range(3))))
    assert_close(losses[0], losses[1], rtol=1e-12, atol=0)
    assert_close(losses[0], losses[2], rtol=1e-12, atol=0)


@pytest.mark.parametrize("target", list(TARGETS))
def test_the_exact_denoiser_has_the_smallest_loss(target: str) -> None:
    """The gradient in a shift of the exact posterior mean vanishes."""
    n = 4000
    space = euclidean(n)
    oracle = GaussianDenoiser(torch.zeros(2, 3, dtype=torch.float64), 0.7)

    class Exact(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shift = nn.Parameter(torch.tensor(0.0, dtype=torch.float64))

        def forward(self, x: Tensor, log_sigma: Tensor, space: Space, cond: Condition | None) -> Tensor:
            s = space.expand(log_sigma.exp())
            x = x * (s**2 + 1).sqrt()
            x_0 = oracle(x, log_sigma.exp(), space)
            a, b = TARGETS[target](torch.ones_like(s), s, 1.0)
            return a * x_0 + b * (x - x_0) / s + self.shift

    backbone = Exact()
    x_0 = 0.7 * space.noise(streams(0, "x", range(n)))
    sigma = torch.full((n,), 0.8, dtype=torch.float64)
    losses = Loss()(Denoiser(backbone, EDM(), target), Batch(x_0, space), sigma, streams(1, "eps", range(n)))
    losses.mean().backward()
    assert backbone.shift.grad is not None
    assert abs(backbone.shift.grad.item()) < 5 * 2 * (losses.mean() / space.dim[0] / n).sqrt().item()
    assert losses.mean() > 0.1


def test_norms_are_their_definitions() -> None:
    r = torch.linspace(-3, 3, 31, dtype=torch.float64)
    assert_close(NORMS["l2"](r[:, None], space), r**2)
    assert_close(NORMS["l1"](r[:, None], space), r.abs())
    assert_close(NORMS["huber"](r[:, None], space, delta=0.5), torch.where(r.abs() < 0.5, r**2 / 2, 0.5 * (r.abs() - 0.25)))


@pytest.mark.parametrize("name", list(SCHEDULES))
@pytest.mark.parametrize("times", list(TIMES))
def test_training_noise_levels_stay_in_the_range_and_rise_with_u(name: str, times: str) -> None:
    schedule = SCHEDULES[name]()
    s = TIMES[times](torch.linspace(1e-7, 1 - 1e-7, 1001, dtype=torch.float64), schedule)
    assert (s.diff() >= 0).all()
    assert s.min() >= schedule.sigma_min * (1 - 1e-5)
    assert s.max() <= schedule.sigma_max * (1 + 1e-5)


def test_log_normal_times_have_their_quantiles() -> None:
    s = TIMES["log_normal"](torch.tensor([0.5, 0.8413447460685429]), EDM(), mean=-1.2, std=1.2)
    assert_close(s.log(), torch.tensor([-1.2, 0.0], dtype=torch.float64), atol=1e-6, rtol=0)


def test_stratified_points_fall_one_in_each_stratum() -> None:
    u = stratified(64, stream(0, "time", 3))
    assert sorted((u * 64).floor().tolist()) == list(range(64))
    assert math.isclose(float((u.sort().values.diff() * 64).mean()), 1, rel_tol=1e-9)
