"""Control against closed forms: on Gaussian data the exact posterior of every linear problem is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import GaussianDenoiser, dense, euclidean, packed
from torch import Tensor
from torch.testing import assert_close

from polydiff.control import (
    Known,
    Measured,
    Measurement,
    PosteriorSampling,
    conjugate_gradient,
    decode,
    encode,
    inpaint,
    interpolate,
    known_part,
    masked,
    repaint,
    slerp,
    strength_level,
)
from polydiff.denoise import Denoise
from polydiff.guidance import first_order
from polydiff.random import streams
from polydiff.sampling import SAMPLERS, Renoise, evaluations, noise_levels, run_plan, sample
from polydiff.schedule import EDM, SCHEDULES, Schedule
from polydiff.space import Condition, Euclidean, Space, State, sqnorm

SPACES: dict[str, Callable[[int], Space]] = {
    "euclidean": euclidean,
    "dense": lambda b: dense(b, 5),
    "packed": lambda b: packed(b, 5),
}


def part(space: Space) -> Tensor:
    """A mask: the first two atoms, or the first of the two rows of a Euclidean state."""
    if isinstance(space, Euclidean):
        return torch.tensor([[1.0], [0.0]])
    atoms = (torch.arange(7 if hasattr(space, "mask") else 5) < 2).double()[:, None]
    return atoms if hasattr(space, "mask") else atoms.repeat(space.batch, 1)


def known_rank(space: Space) -> int:
    """Dimensions of the known part: of two atoms 3 of the 6 coordinates, and their 2 features each."""
    return 3 if isinstance(space, Euclidean) else 3 + 4


@dataclass
class Correlated:
    """E[x_0 | x] of N(mean, covariance) on R^d: mean + S (S + s^2)^-1 (x - mean)."""

    mean: Tensor
    covariance: Tensor
    schedule: Schedule = field(default_factory=lambda: EDM(sigma_max=40.0))
    sigma_data: float = 1.0

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        values, vectors = torch.linalg.eigh(self.covariance)
        shrink = values / (values + space.expand(sigma) ** 2)
        return self.mean + ((x - self.mean) @ vectors * shrink) @ vectors.T


MEAN = torch.tensor([0.3, -0.5, 0.2, 0.8], dtype=torch.float64)
ROOT = torch.tensor([[1.1, 0, 0, 0], [0.6, 0.7, 0, 0], [-0.3, 0.5, 0.6, 0], [0.4, 0.1, 0.5, 0.9]], dtype=torch.float64)
COVARIANCE = ROOT @ ROOT.T
A = torch.tensor([[1.0, 0.5, -0.2, 0.1], [0.3, -1.0, 0.4, 0.6]], dtype=torch.float64)
Y = torch.tensor([0.7, -0.4], dtype=torch.float64)
NONE: Any = None


def matrix(batch: int) -> Measurement:
    """Measurement by A."""
    return Measurement(lambda x: x @ A.T, lambda y: y @ A, Euclidean(batch, (2,), dtype=torch.float64))


def posterior(mean: Tensor, covariance: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """Mean and covariance of x_0 ~ N(mean, covariance) given A x_0 + noise n = Y."""
    gain = covariance @ A.T @ torch.linalg.inv(A @ covariance @ A.T + noise**2 * torch.eye(2, dtype=torch.float64))
    return mean + (Y - mean @ A.T) @ gain.T, covariance - gain @ A @ covariance


def vectors(batch: int) -> Euclidean:
    return Euclidean(batch, (4,), dtype=torch.float64)


def level(space: Space, sigma: float) -> Tensor:
    return torch.full((space.batch,), sigma, dtype=torch.float64)


@given(st.floats(0.01, 30), st.floats(0.05, 2))
def test_the_jacobian_gives_the_exact_denoiser_of_any_gaussian_given_a_measurement(sigma: float, noise: float) -> None:
    space = vectors(3)
    x = 2 * space.noise(streams(0, "x", range(3)))
    mean, covariance = posterior(MEAN, COVARIANCE, noise)
    prior = Correlated(MEAN, COVARIANCE)
    result = Measured(prior, matrix(3), Y.expand(3, 2), noise, "jacobian")(x, level(space, sigma), space)
    assert_close(result, Correlated(mean, covariance)(x, level(space, sigma), space), rtol=1e-7, atol=1e-8)


@given(st.floats(0.01, 30), st.floats(0.05, 2), st.floats(0.3, 2))
def test_the_isotropic_covariance_gives_the_exact_denoiser_of_isotropic_data(
    sigma: float, noise: float, std: float
) -> None:
    space = vectors(3)
    x = 2 * space.noise(streams(0, "x", range(3)))
    eye = torch.eye(4, dtype=torch.float64)
    mean, covariance = posterior(MEAN, std**2 * eye, noise)
    prior = Correlated(MEAN, std**2 * eye, sigma_data=std)
    result = Measured(prior, matrix(3), Y.expand(3, 2), noise)(x, level(space, sigma), space)
    assert_close(result, Correlated(mean, covariance)(x, level(space, sigma), space), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("where", list(SPACES))
def test_single_elements_can_be_measured_on_every_space(where: str) -> None:
    """All of a state measured with noise: the posterior of an isotropic Gaussian is a Gaussian on the same space."""
    space, noise, std = SPACES[where](2), 0.3, 0.8
    x, mean, y = (space.noise(streams(k, "x", range(2))) for k in range(3))
    v = 1 / (1 / std**2 + 1 / noise**2)
    expected = GaussianDenoiser(v * (mean / std**2 + y / noise**2), math.sqrt(v))
    prior = GaussianDenoiser(mean, std, sigma_data=std)
    for covariance in ("isotropic", "jacobian"):
        measured = Measured(prior, masked(torch.ones(()), space), y, noise, covariance)  # type: ignore[arg-type]
        result = measured(x, level(space, 0.7), space)
        assert_close(result, expected(x, level(space, 0.7), space), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("where", list(SPACES))
def test_an_estimate_agrees_with_what_was_measured_without_noise(where: str) -> None:
    space = SPACES[where](2)
    mask = part(space).double()
    x, mean, truth = (space.noise(streams(k, "x", range(2))) for k in range(3))
    measured = Measured(GaussianDenoiser(mean, 0.8), masked(mask, space), mask * truth)
    estimate, std = measured(x, level(space, 0.7), space), 1.0
    gain = 0.7**2 * 0.64 / (0.49 + 0.64) / (0.49 / (0.49 + std**2))  # the correction, where std is not that of the data
    plain = GaussianDenoiser(mean, 0.8)(x, level(space, 0.7), space)
    assert_close(mask * (estimate - plain), gain * mask * (truth - plain), rtol=1e-8, atol=1e-9)
    assert_close(space.project(estimate), estimate, rtol=0, atol=1e-9)


def moments(denoise: Denoise, n: int = 4000, **how: Any) -> tuple[Tensor, Tensor]:
    """Mean and covariance of n samples."""
    x = sample(denoise, vectors(n), generators=streams(1, "x", range(n)), spacing="karras", **how)
    return x.mean(0), x.T.cov()


@pytest.mark.parametrize(("covariance", "mix", "bias"), [("jacobian", 1.0, 0.0), ("isotropic", 0.2, 0.03)])
def test_samples_given_a_measurement_have_the_posterior_mean_and_covariance(
    covariance: str, mix: float, bias: float
) -> None:
    """Of moments by the Jacobian for data of any covariance, by Pi-GDM for nearly isotropic ones."""
    n, noise, prior = 4000, 0.2, (1 - mix) * torch.eye(4, dtype=torch.float64) + mix * COVARIANCE
    mean, exact = posterior(MEAN, prior, noise)
    measured = Measured(Correlated(MEAN, prior), matrix(n), Y.expand(n, 2), noise, covariance)  # type: ignore[arg-type]
    m, c = moments(measured, n, steps=24, sampler="heun")
    assert (m - mean).abs().max() < 4 * exact.diagonal().max().sqrt() / n**0.5 + bias
    assert (c - exact).abs().max() < 4 * exact.diagonal().max() * (2 / n) ** 0.5 + 0.01
    assert (MEAN - mean).abs().max() > 0.8  # what is measured here is far from what is expected without
    assert (prior - exact).abs().max() > 0.6


def test_conjugate_gradients_solve_and_stop_sample_by_sample() -> None:
    space = Euclidean(3, (5,), dtype=torch.float64)
    roots = space.noise(streams(0, "x", range(3)))[:, :, None] + torch.eye(5, dtype=torch.float64)
    K = roots @ roots.mT
    K[1] = torch.eye(5)
    b = space.noise(streams(1, "x", range(3)))
    b[2] = 0
    z = conjugate_gradient(lambda v: (K @ v[..., None])[..., 0], b, space)
    assert_close((K @ z[..., None])[..., 0], b, rtol=1e-9, atol=1e-9)
    assert torch.equal(z[1], b[1])
    assert torch.equal(z[2], b[2])
    one = Euclidean(1, (5,), dtype=torch.float64)
    alone = conjugate_gradient(lambda v: (v[..., None] * K[0].mT).sum(-2), b[:1], one)
    both = Euclidean(2, (5,), dtype=torch.float64)
    beside = conjugate_gradient(lambda v: (v[..., None] * torch.stack([K[0], K[1]]).mT).sum(-2), b[:2], both)
    assert torch.equal(beside[:1], alone)


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


def test_resampling_mends_the_bias_of_replacement() -> None:
    """Of correlated data the unknown part is drawn towards its own mean: the network sees the known part noised.

    Measurement by `Measured` has no such bias.
    """
    n, covariance = 1000, torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=torch.float64)
    space = Euclidean(n, (2,), dtype=torch.float64)
    denoiser = Correlated(torch.zeros(2, dtype=torch.float64), covariance)
    mask, y = torch.tensor([1.0, 0.0]), torch.tensor([1.5, 0.0], dtype=torch.float64).expand(n, 2)
    truth = 0.8 * 1.5

    def bias(resample: int) -> float:
        rows = repaint(noise_levels(denoiser.schedule, 20, "karras"), "ddpm", 1, resample)
        x = inpaint(denoiser, rows, space, known=y, mask=mask, generators=streams(0, "x", range(n)))
        return abs(x[:, 1].mean().item() - truth)

    plain, mended = bias(1), bias(8)
    assert plain > 0.1
    assert mended < plain / 2
    measured = Measured(denoiser, masked(mask, space), y, 0.0, "jacobian")
    x = sample(measured, space, generators=streams(0, "x", range(n)), steps=20, sampler="heun", spacing="karras")
    assert_close(x[:, 0], y[:, 0], rtol=0, atol=1e-3)
    assert abs(x[:, 1].mean().item() - truth) < 5 * 0.6 / n**0.5 + 0.01
    assert abs(x[:, 1].var().item() / 0.36 - 1) < 5 * (2 / n) ** 0.5 + 0.03


@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 4), st.sampled_from(["ddpm", "heun", "dpmpp_2m"]))
def test_repaint_runs_every_piece_as_often_as_it_says(steps: int, jump: int, resample: int, sampler: str) -> None:
    levels = noise_levels(EDM(), steps, "karras")
    rows, once = repaint(levels, sampler, jump, resample), SAMPLERS[sampler](levels)
    if resample == 1:
        assert rows == once
    jumps = [row for row in rows if isinstance(row, Renoise)]
    assert len(jumps) == (resample - 1) * math.ceil(steps / jump)
    at = levels[0]
    for row in rows:
        if isinstance(row, Renoise):
            assert row.A == 1
            assert row.to**2 == pytest.approx(at**2 + row.C**2, rel=1e-12)
        else:
            assert row.at == at
            assert row.A + (row.P + row.Q) * sum(row.B) == pytest.approx(1, abs=1e-9)
        at = row.to
    assert at == 0
    if sampler == "ddpm":
        assert evaluations(rows) == resample * steps


def test_posterior_sampling_is_the_published_algorithm() -> None:
    """Algorithm 1 of Chung et al., 2022, DDPM's mean in the vp frame, with the gradient in closed form."""
    schedule, zeta = SCHEDULES["linear"](), 0.6
    levels = noise_levels(schedule, 8, "time")
    prior, space = Correlated(MEAN, COVARIANCE, schedule), vectors(3)
    rows = SAMPLERS["ddim"](levels)
    wrapper = PosteriorSampling(
        prior, lambda x: x @ A.T, Y.expand(3, 2), matrix(3).space, first_order(rows, "DPS"), zeta
    )
    start = levels[0] * space.noise(streams(0, "x", range(3)))
    bar = [1 / (1 + s**2) for s in levels]
    x = math.sqrt(bar[0]) * start
    eye = torch.eye(4, dtype=torch.float64)
    for i in range(8):
        s2 = levels[i] ** 2
        jacobian = COVARIANCE @ torch.linalg.inv(COVARIANCE + s2 * eye) / math.sqrt(bar[i])
        x_0 = MEAN + (x / math.sqrt(bar[i]) - MEAN) @ (jacobian * math.sqrt(bar[i])).T
        r = Y - x_0 @ A.T
        gradient = -2 * r @ A @ jacobian
        eps = (x - math.sqrt(bar[i]) * x_0) / math.sqrt(1 - bar[i])
        x = math.sqrt(bar[i + 1]) * x_0 + math.sqrt(1 - bar[i + 1]) * eps
        x = x - zeta / r.norm(dim=1, keepdim=True) * gradient
    *_, last = run_plan(rows, wrapper, start, space, None, ())
    assert_close(last.x, x, rtol=1e-8, atol=1e-8)
    with pytest.raises(ValueError, match="DPS is defined by what a first-order step does"):
        first_order(SAMPLERS["heun"](levels), "DPS")


def controls(space: Space) -> dict[str, Denoise]:
    """Every wrapper, of a Gaussian."""
    y = space.noise(streams(3, "y", range(space.batch)))
    prior = GaussianDenoiser(torch.zeros_like(y), 0.8, EDM(sigma_max=10.0))
    rows = SAMPLERS["ddim"](noise_levels(prior.schedule, 6, "karras"))
    operator = masked(part(space), space)
    return {
        "known": Known(prior, y, part(space)),
        "isotropic": Measured(prior, operator, y, 0.1),
        "jacobian": Measured(prior, operator, y, 0.1, "jacobian"),
        "dps": PosteriorSampling(prior, operator.forward, y, space, first_order(rows, "DPS"), 0.3),
    }


@pytest.mark.parametrize("where", list(SPACES))
@pytest.mark.parametrize("name", ["known", "isotropic", "jacobian", "dps"])
def test_a_controlled_sample_depends_on_itself_alone_and_stays_on_its_space(name: str, where: str) -> None:
    def draw(n: int) -> State:
        space = SPACES[where](n)
        how: dict[str, Any] = {"steps": 6, "sampler": "ddim", "spacing": "karras", "eta": 0.0}
        return sample(controls(space)[name], space, generators=streams(0, "x", range(n)), **how)

    together, alone = draw(3), draw(1)
    assert torch.equal(together[: len(alone)], alone)
    assert_close(SPACES[where](1).project(alone), alone, rtol=0, atol=1e-9)


@pytest.mark.parametrize("where", list(SPACES))
def test_what_is_encoded_is_decoded(where: str) -> None:
    """The way up is that of the exact flow of a Gaussian, x - m scaled by sqrt(v + s^2); so is the way back."""
    space, std, errors = SPACES[where](2), 0.7, []
    x, mean = (space.noise(streams(k, "x", range(2))) for k in range(2))
    denoiser = GaussianDenoiser(mean, std)
    for steps in (32, 64):
        levels = noise_levels(denoiser.schedule, steps, "karras")
        noisy = encode(denoiser, x, space, levels=levels)
        exact = mean + (x - mean) * math.sqrt((std**2 + levels[0] ** 2) / (std**2 + levels[-2] ** 2))
        errors.append((noisy - exact).abs().max().item() / levels[0])
        assert_close(decode(denoiser, noisy, space, levels=levels), x, rtol=0, atol=20 / steps**2)
    assert math.log2(errors[0] / errors[1]) > 1.8
    with pytest.raises(ValueError, match="levels must fall"):
        encode(denoiser, x, space, levels=[1.0, 2.0, 0.0])


@given(st.sampled_from(list(SPACES)), st.floats(0, 1))
def test_the_arc_keeps_norms_and_space_and_runs_evenly(where: str, u: float) -> None:
    space = SPACES[where](2)
    a, b = (space.noise(streams(k, "x", range(2))) for k in range(2))
    b = b * space.expand((sqnorm(space, a) / sqnorm(space, b)).sqrt())
    middle = slerp(a, b, u, space)
    assert_close(sqnorm(space, middle), sqnorm(space, a), rtol=1e-9, atol=0)
    assert_close(space.project(middle), middle, rtol=0, atol=1e-12)
    angle = (space.sum(a * b) / sqnorm(space, a)).acos()
    assert_close(space.sum(a * middle) / sqnorm(space, a), (u * angle).cos(), rtol=1e-9, atol=1e-9)
    assert_close(slerp(a, a, u, space), a, rtol=1e-9, atol=1e-9)
    assert_close(slerp(b, a, 1 - u, space), middle, rtol=1e-9, atol=1e-9)
    shares = torch.tensor([0.0, u], dtype=torch.float64)
    assert_close(slerp(a, b, shares, space), torch.where(space.expand(torch.tensor([True, False])), a, middle))


def test_an_interpolation_begins_and_ends_where_it_should() -> None:
    space = packed(2, 5)
    a, b = (space.noise(streams(k, "x", range(2))) for k in range(2))
    denoiser = GaussianDenoiser(torch.zeros_like(a), 1.0)
    first, middle, last = interpolate(denoiser, a, b, space, shares=[0.0, 0.5, 1.0], steps=64)
    assert_close(first, a, rtol=0, atol=5e-3)
    assert_close(last, b, rtol=0, atol=5e-3)
    assert_close(middle, slerp(a, b, 0.5, space), rtol=0, atol=5e-3)  # the flow of N(0, P) only scales
    with pytest.raises(ValueError, match="must live on one space"):
        next(interpolate(denoiser, a, b[:5], space, shares=[0.5]))


@given(st.sampled_from(list(SCHEDULES)), st.floats(0.01, 1))
def test_a_strength_is_a_share_of_the_schedules_time(name: str, strength: float) -> None:
    schedule = SCHEDULES[name]()
    found = strength_level(schedule, strength)
    assert schedule.sigma_min < found <= schedule.sigma_max
    assert strength_level(schedule, 1.0) == pytest.approx(schedule.sigma_max, rel=1e-6)
    if strength <= 0.9:
        assert strength_level(schedule, strength + 0.05) > found
    for wrong in (0.0, 1.1, -1.0):
        with pytest.raises(ValueError, match="strength must be above 0"):
            strength_level(schedule, wrong)


def test_an_edit_keeps_as_much_of_its_beginning_as_the_noise_leaves() -> None:
    """From level s, a Gaussian's exact flow gives (x_0 + s xi) std / sqrt(std^2 + s^2)."""
    n, std = 2000, 0.8
    space = euclidean(n)
    x_0 = torch.ones(n, 2, 3, dtype=torch.float64)
    denoiser = GaussianDenoiser(torch.zeros(n, 2, 3, dtype=torch.float64), std)
    for strength in (0.2, 0.4):
        s = strength_level(denoiser.schedule, strength)
        how: dict[str, Any] = {"steps": 40, "sampler": "heun", "spacing": "karras", "init": x_0, "start": s}
        x = sample(denoiser, space, generators=streams(0, "x", range(n)), **how)
        shrink = std / math.sqrt(std**2 + s**2)
        assert x.mean().item() == pytest.approx(shrink, abs=5 * shrink * s / (6 * n) ** 0.5 + 5e-3)
        assert x.std().item() == pytest.approx(shrink * s, rel=0.03, abs=5e-3)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: Known(NONE, Y, 1.0), "mask must be a tensor, 1 or True where known, not float"),  # type: ignore[arg-type]
        (lambda: Known(NONE, Y, torch.ones(2, *Y.shape)), "which does not broadcast against"),
        (lambda: Known(NONE, Y, torch.ones(97)), r"mask has the shape \(97,\), which does not broadcast against"),
        (lambda: Known(NONE, Y, torch.tensor(0.5)), "mask must hold nothing but 0 and 1"),
        (lambda: Known(NONE, Y, torch.tensor(math.nan)), "mask must hold nothing but 0 and 1"),
        (lambda: next(interpolate(NONE, Y, Y, NONE, shares=[0.5], steps=1)), "steps must be at least 2"),
        (lambda: repaint([1.0, 0.0], jump=0), "jump and resample must be at least 1"),
        (lambda: Measured(None, None, Y, -1.0), "noise must be at least 0"),  # type: ignore[arg-type]
        (lambda: Measured(None, None, Y, 0.0, "full"), "'isotropic' or 'jacobian', not 'full'"),  # type: ignore[arg-type]
    ],
)
def test_options_of_no_use_are_refused(use: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        use()
