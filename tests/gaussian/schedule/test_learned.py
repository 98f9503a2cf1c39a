"""Tests of `polydiff.gaussian.schedule.learned`."""

from __future__ import annotations

import copy

import torch
from schedule_cases import schedule
from torch.testing import assert_close

from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.gaussian.schedule.learned import Learned


def test_the_learned_schedule_belongs_to_its_denoiser() -> None:
    s = SCHEDULES["learned"]()
    denoiser = Denoiser(torch.nn.Identity(), s)
    names = {"schedule.linear", "schedule.height", "schedule.steepness", "schedule.centre"}
    assert {name for name, _ in denoiser.named_parameters()} == names == set(denoiser.state_dict())
    twin = copy.deepcopy(denoiser)
    with torch.no_grad():
        s.height += 3
    t = torch.linspace(0, 1, 11)
    assert (twin.schedule.log_snr(t) - s.log_snr(t)).abs().max() > 0.1
    twin.load_state_dict(denoiser.state_dict())
    assert_close(twin.schedule.log_snr(t), s.log_snr(t), rtol=0, atol=0)
    assert s.log_snr(t).dtype == torch.float64
    assert not s.log_snr(t).requires_grad


def test_noise_levels_of_the_learned_schedule_can_be_functions_of_its_parameters() -> None:
    s = schedule("learned")
    sigma = torch.logspace(-2, 1, 7, dtype=torch.float64)
    attached = s.attach(sigma)
    assert_close(attached.detach(), sigma, rtol=1e-10, atol=0)
    attached.sum().backward()
    assert isinstance(s, Learned)
    gradient = s.height.grad
    assert gradient is not None
    t, h = s.time(-2 * sigma.log()), 1e-2
    with torch.no_grad():
        s.height[5] += h
        up = s.noise_level(t).sum()
        s.height[5] -= 2 * h
        down = s.noise_level(t).sum()
    assert_close(gradient[5].double(), (up - down) / (2 * h), rtol=1e-3, atol=0)
