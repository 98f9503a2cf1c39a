"""Tests of `polydiff.gaussian.control.known`."""

from __future__ import annotations

import pytest
import torch
from control_cases import SPACES, part
from oracles import GaussianDenoiser, packed
from torch.testing import assert_close

from polydiff.core.space import Euclidean, Space, sqnorm
from polydiff.core.streams import streams
from polydiff.gaussian.control.known import Known, known_part
from polydiff.gaussian.control.replacement import inpaint, repaint
from polydiff.gaussian.sampling.execute import run_plan
from polydiff.gaussian.sampling.spacing import noise_levels
from polydiff.gaussian.schedule.closed_forms import EDM


def known_rank(space: Space) -> int:
    """Dimensions of the known part: of two atoms 3 of the 6 coordinates, and their 2 features each."""
    return 3 if isinstance(space, Euclidean) else 3 + 4


@pytest.mark.parametrize("where", list(SPACES))
def test_the_known_part_is_what_lives_on_the_mask_alone(where: str) -> None:
    space = SPACES[where](2)
    mask = part(space).double()
    x, y = (space.noise(streams(k, "x", range(2))) for k in range(2))
    m_x, m_y = known_part(x, mask, space), known_part(y, mask, space)
    assert_close(space.project(m_x), m_x, rtol=0, atol=1e-12)
    assert_close(mask * m_x, m_x, rtol=0, atol=1e-12)
    assert_close(known_part(m_x, mask, space), m_x, rtol=0, atol=1e-12)
    off = x + torch.arange(x.numel(), dtype=torch.float64).reshape(x.shape).cos()
    assert_close(known_part(off, mask, space), known_part(space.project(off), mask, space), rtol=0, atol=1e-12)
    assert_close(space.sum(m_x * y), space.sum(x * m_y), rtol=1e-10, atol=1e-12)
    assert_close(known_part(x, torch.ones_like(mask), space), x, rtol=0, atol=1e-12)
    assert torch.equal(known_part(x, torch.zeros_like(mask), space), torch.zeros_like(x))
    n = 400
    space = SPACES[where](n)
    draws = known_part(space.noise(streams(3, "x", range(n))), part(space).double(), space)
    rank = known_rank(space)
    assert abs(sqnorm(space, draws).mean().item() / rank - 1) < 5 * (2 / rank / n) ** 0.5


def test_of_molecules_the_known_part_is_the_shape_of_the_known_atoms() -> None:
    """Two positions less their mean, and the features as they are."""
    space = packed(1, 5)
    x = space.noise(streams(0, "x", [0]))
    result = known_part(x, part(space), space)
    expected = x[:2].clone()
    expected[:, :3] -= expected[:, :3].mean(0)
    assert_close(result[:2], expected, rtol=1e-10, atol=1e-12)
    assert_close(result[2:], torch.zeros(3, 5, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "heun", "dpmpp_2m"])
@pytest.mark.parametrize("where", list(SPACES))
def test_inpainting_keeps_what_is_known_and_is_exact_where_parts_are_independent(where: str, sampler: str) -> None:
    n, std = 300, 0.8
    space = SPACES[where](n)
    mask = part(space)
    mean, y = (space.noise(streams(k, "x", range(n))) for k in (2, 3))
    denoiser = GaussianDenoiser(mean, std, EDM(sigma_max=40.0))
    rows = repaint(noise_levels(denoiser.schedule, 60), sampler, jump=20, resample=2)
    x = inpaint(denoiser, rows, space, known=y, mask=mask, generators=streams(1, "x", range(n)))
    assert_close(space.project(x), x, rtol=0, atol=1e-9)
    assert_close(known_part(x, mask, space), known_part(y, mask, space), rtol=0, atol=1e-9)
    rest = x - mean
    rest = rest - known_part(rest, mask, space)
    free = space.dim[0].item() - known_rank(space)
    deficit = 0.07 if sampler in ("ddpm", "ddim") else 0.02  # of first order in the step, 60 steps
    assert abs(sqnorm(space, rest).mean().item() / (free * std**2) - 1) < 5 * (2 / free / n) ** 0.5 + deficit


def test_the_known_part_of_a_state_is_noised_as_data_are_at_every_step() -> None:
    """x = y + s xi on the known part, with one xi for the whole of a deterministic run."""
    space = packed(3, 5)
    y = space.noise(streams(3, "x", range(3)))
    denoiser = GaussianDenoiser(torch.zeros_like(y), 0.8, EDM(sigma_max=40.0))
    rows = repaint(noise_levels(denoiser.schedule, 20, "karras"), "ddim")
    x, mask = 40 * space.noise(streams(0, "x", range(3))), part(space)
    xi = known_part(x - y, mask, space) / 40
    for step in run_plan(rows, Known(denoiser, y, mask), x, space, None, ()):
        assert_close(known_part(step.x - y, mask, space), step.sigma * xi, rtol=1e-9, atol=1e-12)
        assert_close(space.project(step.x), step.x, rtol=0, atol=1e-9)
