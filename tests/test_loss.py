"""Losses: the residual's scale, the weightings' definitions, and what must not matter."""

from __future__ import annotations

import copy
import math
from collections import deque
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import GaussianDenoiser, dense, euclidean
from repository import blocks, commands
from scipy import stats
from torch import Tensor, nn
from torch.testing import assert_close

from polydiff.backbones.config import MLPConfig
from polydiff.checks import check_names
from polydiff.config import OptimConfig
from polydiff.denoise import Denoiser
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.errors import UserError
from polydiff.loss import NORMS, TIMES, WEIGHTINGS, Loss, Weighting, importance, stratified
from polydiff.loss.state import History
from polydiff.loss.weightings import weighting_of
from polydiff.optim import optimizer_tensors, restore_optimizer
from polydiff.plugins import build_backbone
from polydiff.random import stream, streams
from polydiff.sampling import sample
from polydiff.schedule import EDM, SCHEDULES, Learned
from polydiff.settings import resolve
from polydiff.space import Batch, Condition, Euclidean, Space, State, sqnorm
from polydiff.target import TARGETS
from polydiff.training import Training, fit

SHAPES: dict[str, dict[str, float]] = {  # times that reach the whole range of noise levels
    "uniform": {},
    "adaptive": {},
    "log_normal": {"mean": -0.5, "std": 2.5},
    "log_snr_normal": {"mean": 1.0, "std": 5.0},
    "logit_normal": {"std": 1.5},
    "mode": {"scale": 0.8},
    "kumaraswamy": {"a": 0.9, "b": 1.1},
    "laplace": {"scale": 4.0},
    "cauchy": {"scale": 4.0},
}


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
    denoiser = Denoiser(Fixed(), EDM(), target, sigma_data=0.5, aids=Loss(weighting=weighting).aids())
    loss = Loss(weighting=weighting)(denoiser, Batch(x_0, space), sigma, streams(0, "eps", range(6)))
    x = x_0 + space.expand(sigma) * space.noise(streams(0, "eps", range(6)))
    error = sqnorm(space, denoiser(x, sigma, space) - x_0) / space.dim
    a, b = TARGETS[target](torch.ones_like(sigma), sigma, 0.5)
    weight = WEIGHTINGS[weighting](sigma, sigma / (b - sigma * a).abs(), 0.5)
    if weighting_of(weighting).integral:
        weight = weight * importance("uniform", sigma, EDM())
    assert_close(loss, weight * error, rtol=1e-8, atol=1e-10)


SNR = torch.logspace(-3, 4, 30, dtype=torch.float64)
PUBLISHED: dict[str, Tensor] = {  # of the error of x_0, by the SNR, for data of standard deviation 0.5
    "snr": SNR,
    "truncated_snr": torch.where(SNR > 1, SNR, 1.0),
    "min_snr": torch.where(SNR < 5, SNR, 5.0),
    "p2": SNR / (1 + SNR),
    "debiased": SNR.sqrt(),
    "edm": SNR + 4,
    "uncertainty": SNR + 4,
    "x0": torch.ones_like(SNR),
    "elbo": SNR / 2,
    "sigmoid": SNR / (1 + SNR * math.exp(-2)) / 2,
}


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_weightings_are_those_of_the_papers(name: str) -> None:
    s = SNR.rsqrt()
    assert_close(WEIGHTINGS[name](s, torch.full_like(s, math.nan), 0.5), PUBLISHED[name], rtol=1e-12, atol=0)


class Factor(nn.Module):
    """A learned number.

    Arguments:
        start: Its value before training.
    """

    def __init__(self, start: float = 2.0) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(float(start)))


class Multiplied(Weighting):
    """Every error of x_0 counts the same, times a learned factor."""

    state = MappingProxyType({"factor": Factor})

    def minimised(self, losses: Tensor, sigma: Tensor, state: nn.ModuleDict) -> Tensor:
        factor = state["factor"]
        assert isinstance(factor, Factor)
        return losses * factor.value


def test_a_weighting_of_ones_own_keeps_state_and_takes_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its definition is all that it takes."""
    mine = Multiplied(lambda s, c, sigma_data, start=2.0: torch.ones_like(s))
    monkeypatch.setitem(WEIGHTINGS._entries, "mine", mine)
    training = training_of("edm", Loss(weighting="mine", weighting_options={"start": 3.0}))
    plain = training_of("edm", Loss(weighting="x0"))
    found, expected = (next(fit(t, lambda _: ring(8, 0), steps=1, batch_size=8)).loss for t in (training, plain))
    assert found == pytest.approx(3 * expected)
    assert training.module.state_dict()["aids.factor.value"] < 3
    check_names(resolve("image", words={"loss.weighting": "mine", "loss.weighting_options.start": "3"}).config)
    with pytest.raises(UserError, match="Unknown option of the weighting mine 'stat'"):
        check_names(resolve("image", words={"loss.weighting": "mine", "loss.weighting_options.stat": "3"}).config)


def test_simple_weighting_of_eps_is_ddpm_and_of_edm_is_edm() -> None:
    s = torch.logspace(-3, 2, 20, dtype=torch.float64)
    one = torch.ones_like(s)
    for target, same in (("eps", "snr"), ("edm", "edm"), ("x0", "x0")):
        a, b = TARGETS[target](one, s, 0.5)
        c = s / (b - s * a).abs()
        assert_close(WEIGHTINGS["simple"](s, c, 0.5), WEIGHTINGS[same](s, c, 0.5), rtol=1e-10, atol=0)


@given(snr=st.floats(1e-4, 1e4), k=st.floats(0.1, 10), gamma=st.floats(0.1, 2))
def test_options_of_weightings_are_those_of_the_papers(snr: float, k: float, gamma: float) -> None:
    s = torch.tensor(snr, dtype=torch.float64).rsqrt()
    assert WEIGHTINGS["p2"](s, s, 1.0, k=k, gamma=gamma).item() == pytest.approx(snr / (k + snr) ** gamma)
    assert WEIGHTINGS["min_snr"](s, s, 1.0, gamma=gamma).item() == pytest.approx(min(snr, gamma))
    sigmoid = snr / 2 / (1 + snr * math.exp(-k))
    assert WEIGHTINGS["sigmoid"](s, s, 1.0, bias=k).item() == pytest.approx(sigmoid)


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
    space = Euclidean(31, (1,), dtype=torch.float64)
    assert_close(NORMS["l2"](r[:, None], space), r**2)
    assert_close(NORMS["l1"](r[:, None], space), r.abs())
    huber = torch.where(r.abs() < 0.5, r**2 / 2, 0.5 * (r.abs() - 0.25))
    assert_close(NORMS["huber"](r[:, None], space, delta=0.5), huber)
    d = 7
    x = torch.randn(31, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    C = 0.00054 * d**0.5  # Song & Dhariwal, 2023
    ours = NORMS["pseudo_huber"](x, Euclidean(31, (d,), dtype=torch.float64)) * d**0.5
    assert_close(ours, (sqnorm(Euclidean(31, (d,)), x) + C**2).sqrt() - C, rtol=1e-12, atol=0)


@pytest.mark.parametrize("norm", list(NORMS))
def test_every_norm_leaves_padding_out_and_counts_the_true_dimension(norm: str) -> None:
    sizes = torch.tensor([2, 5, 9])
    narrow = DenseMolecules.of_sizes(sizes, 2, torch.float64)
    wide = DenseMolecules(nn.functional.pad(narrow.mask, (0, 4)), 2, torch.float64)
    r, padded = (space.noise(streams(0, "r", range(3))) for space in (narrow, wide))
    assert_close(NORMS[norm](r, narrow), NORMS[norm](padded, wide), rtol=1e-12, atol=0)
    ones = NORMS[norm](torch.full((2, 12), 3.0), Euclidean(2, (12,)))
    assert_close(ones, NORMS[norm](torch.full((2, 3), 3.0), Euclidean(2, (3,))), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", list(SCHEDULES))
@pytest.mark.parametrize("times", list(TIMES))
def test_training_noise_levels_stay_in_the_range_and_rise_with_u(name: str, times: str) -> None:
    schedule = SCHEDULES[name]()
    s = TIMES[times](torch.linspace(1e-7, 1 - 1e-7, 1001, dtype=torch.float64), schedule)
    assert (s.diff() >= 0).all()
    assert s.min() >= schedule.sigma_min * (1 - 1e-5)
    assert s.max() <= schedule.sigma_max * (1 + 1e-5)


def shares(levels: Tensor, law: Any, low: float, high: float) -> Tensor:
    """The quantile u of each number under a law of scipy that is cut at two bounds."""
    ends = law.cdf([low, high])
    return torch.from_numpy((law.cdf(levels.numpy()) - ends[0]) / (ends[1] - ends[0]))


def test_times_have_the_published_laws() -> None:
    u = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    edm, cosine, flow = EDM(), SCHEDULES["cosine"](), SCHEDULES["flow"]()
    ends = math.log(edm.sigma_min), math.log(edm.sigma_max)
    levels = TIMES["log_normal"](u, edm, mean=-1.0, std=2.0).log()
    assert_close(shares(levels, stats.norm(-1, 2), *ends), u, rtol=0, atol=1e-9)
    assert_close(TIMES["log_snr_normal"](u, edm, mean=2.0, std=4.0).log(), levels, rtol=1e-12, atol=1e-12)
    for name, law in (("laplace", stats.laplace(0.4, 2.0)), ("cauchy", stats.cauchy(0.4, 2.0))):
        log_snr = -2 * TIMES[name](u, edm, mean=0.4, scale=2.0).log()
        assert_close(shares(log_snr, law, -2 * ends[0], -2 * ends[1]), u, rtol=0, atol=1e-9)
    low, high = flow.trained_times()
    t = flow.time(-2 * TIMES["logit_normal"](u, flow, mean=-0.4, std=1.3).log())
    assert_close(shares(t.logit(), stats.norm(-0.4, 1.3), math.log(low / (1 - low)), math.log(high / (1 - high))), u)
    t = flow.time(-2 * TIMES["kumaraswamy"](u, flow, a=1.5, b=1.0).log())
    assert_close(torch.from_numpy(stats.beta(1.5, 1).cdf(((t - low) / (high - low)).numpy())), u)
    t = flow.time(-2 * TIMES["kumaraswamy"](u, flow, a=1.0, b=2.5).log())
    assert_close(torch.from_numpy(stats.beta(1, 2.5).cdf(((t - low) / (high - low)).numpy())), u)
    v = 1 - u
    published = 1 - v - 1.29 * (torch.cos(math.pi / 2 * v) ** 2 - 1 + v)
    t = flow.time(-2 * TIMES["mode"](u, flow).log())
    assert_close((t - low) / (high - low), published, rtol=0, atol=1e-9)
    low, high = cosine.trained_times()
    t = cosine.time(-2 * TIMES["uniform"](u, cosine).log())
    assert_close(t, low + u * (high - low), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("mode", "scale", 1.8),
        ("mode", "scale", -1.1),
        ("kumaraswamy", "a", 0.0),
        ("log_normal", "std", -1.0),
        ("logit_normal", "std", 0.0),
        ("log_snr_normal", "std", -1.0),
        ("laplace", "scale", 0.0),
        ("cauchy", "scale", -1.0),
    ],
)
def test_times_that_would_not_rise_are_refused(name: str, option: str, value: float) -> None:
    with pytest.raises(ValueError, match=r"scale must lie|must be positive"):
        TIMES[name](torch.tensor([0.5]), EDM(), **{option: value})


@given(mean=st.floats(-1e6, 1e6), std=st.floats(1e-9, 1e9), name=st.sampled_from(["log_normal", "logit_normal"]))
def test_times_of_any_mean_and_spread_stay_in_the_range(mean: float, std: float, name: str) -> None:
    s = TIMES[name](torch.linspace(1e-7, 1 - 1e-7, 101, dtype=torch.float64), EDM(), mean=mean, std=std)
    assert (s.diff() >= 0).all()
    assert s.min() >= 0.002
    assert s.max() <= 80


@pytest.mark.parametrize("times", list(SHAPES))
@pytest.mark.parametrize("name", ["edm", "cosine", "linear", "subvp", "learned"])
def test_importance_is_one_over_the_density_of_the_log_snr(times: str, name: str) -> None:
    """d lambda / d u, by a central difference where u is known."""
    schedule, options = SCHEDULES[name](), SHAPES[times]
    u, h = torch.linspace(0.02, 0.98, 33, dtype=torch.float64), 1e-6
    up, down = (-2 * TIMES[times](u + d, schedule, **options).log() for d in (h, -h))
    found = importance(times, TIMES[times](u, schedule, **options), schedule, options)
    tolerance = 0.05 if name == "linear" else 1e-5  # its log-SNR has corners
    assert_close(found, (down - up) / (2 * h), rtol=tolerance, atol=0)


@dataclass(frozen=True)
class Prescribed(Euclidean):
    """R^1 with given noise."""

    eps: Tensor = field(default_factory=lambda: torch.zeros(1))

    def noise(self, generators: Any) -> State:
        return self.eps


class Linear(nn.Module):
    """The network of every target whose denoiser is D = w x / (1 + s)."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))
        self.target = TARGETS[target]

    def forward(self, x: Tensor, log_sigma: Tensor, space: Space, cond: Condition | None) -> Tensor:
        s = space.expand(log_sigma.exp())
        x = x * (s**2 + 1).sqrt()
        x_0 = self.w * x / (1 + s)
        a, b = self.target(torch.ones_like(s), s, 1.0)
        return a * x_0 + b * (x - x_0) / s


def expected_gradient(name: str, times: str, target: str, weighting: str, n: int = 4000) -> tuple[float, float]:
    """The mean loss and its gradient in w, exact but for the sum over n numbers u: E over x_0 = +-0.5, eps = +-1."""
    schedule = SCHEDULES[name](sigma_min=0.02, sigma_max=50.0)
    if isinstance(schedule, Learned):
        with torch.no_grad():
            schedule.height.copy_(torch.linspace(-4, 0, len(schedule.height)))
    loss = Loss(weighting=weighting, times=times, times_options=SHAPES[times])
    denoiser = Denoiser(Linear(target), schedule, target, aids=loss.aids())
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    sigma = loss.noise_levels(u, schedule).repeat(4)
    signs = torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64).repeat_interleave(n, 0)
    space = Prescribed(4 * n, (1,), dtype=torch.float64, eps=signs[:, 1:])
    mean = loss(denoiser, Batch(0.5 * signs[:, :1], space), sigma, []).mean()
    mean.backward()
    return mean.item(), denoiser.backbone.w.grad.item()  # type: ignore[union-attr]


@pytest.mark.parametrize("weighting", ["elbo", "sigmoid"])
def test_an_integral_depends_on_no_schedule_no_times_and_no_target(weighting: str) -> None:
    """1/2 int f(lambda) |eps error|^2 d lambda and its gradient, by the trapezoidal rule."""
    log_snr = torch.linspace(-2 * math.log(50), -2 * math.log(0.02), 20_001, dtype=torch.float64)
    s, w = torch.exp(-log_snr / 2), torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    factor = torch.sigmoid(2 - log_snr) if weighting == "sigmoid" else torch.ones_like(s)
    error = 0.25 * (w / (1 + s) - 1) ** 2 + (w * s / (1 + s)) ** 2
    value = torch.trapezoid(factor * error / s**2 / 2, log_snr)
    value.backward()
    assert w.grad is not None
    expected = value.item(), w.grad.item()
    for name in ("edm", "flow", "cosine", "exponential", "ve", "subvp", "learned"):
        assert expected_gradient(name, "uniform", "edm", weighting) == pytest.approx(expected, rel=2e-4)
    for times in SHAPES:
        assert expected_gradient("flow", times, "v", weighting) == pytest.approx(expected, rel=5e-3), times
    for target in TARGETS:
        assert expected_gradient("ve", "uniform", target, weighting) == pytest.approx(expected, rel=2e-4)


@given(losses=st.lists(st.floats(0, 1e3), min_size=8, max_size=8), floor=st.floats(0.05, 1))
def test_what_the_history_draws_is_corrected_exactly(losses: list[float], floor: float) -> None:
    """E_p[f(u) / p(u)] = int f, p positive, and p ~ sqrt(E[L^2]) up to the floor."""
    history = History(bins=8, depth=2, floor=floor)
    u = (torch.arange(8) + 0.5) / 8
    assert_close(history.density(), torch.ones(8, dtype=torch.float64))
    for scale in (0.0, 1.0):
        history.remember(u, scale * torch.tensor(losses))
    even = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    drawn, weight = history.draw(even)
    assert (drawn.diff() > 0).all()
    assert (weight * drawn**2).mean().item() == pytest.approx(1 / 3, rel=2e-2)
    assert weight.mean().item() == pytest.approx(1, rel=2e-2)
    p = history.density()
    assert p.mean().item() == pytest.approx(1)
    if sum(losses) > 1e-3:
        assert_close(p, floor + (1 - floor) * torch.tensor(losses).double() * 8 / sum(losses), rtol=1e-4, atol=1e-6)


@given(steps=st.lists(st.lists(st.floats(0.001, 0.999), min_size=1, max_size=12), min_size=1, max_size=12))
def test_the_history_keeps_the_latest_losses_of_each_interval(steps: list[list[float]]) -> None:
    history, latest, loss = History(bins=4, depth=3), [deque[float](maxlen=3) for _ in range(4)], 0.0
    for step in steps:
        losses = [loss := loss + 1 for _ in step]
        history.remember(torch.tensor(step, dtype=torch.float64), torch.tensor(losses))
        for u, value in zip(step, losses, strict=True):
            latest[int(u * 4)].append(value)
    for row, kept in zip(history.losses, latest, strict=True):
        assert sorted(row[row > 0].tolist()) == sorted(kept)


def test_drawing_where_losses_are_high_lowers_the_variance() -> None:
    history = History(bins=32, depth=1)
    u = (torch.arange(32) + 0.5) / 32

    def f(u: Tensor) -> Tensor:
        return torch.exp(6 * u)

    history.remember(u, f(u))
    even = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    drawn, weight = history.draw(even)
    assert (weight * f(drawn)).mean().item() == pytest.approx(f(even).mean().item(), rel=1e-3)
    assert (weight * f(drawn)).var() < 0.01 * f(even).var()


def test_the_uncertainty_learns_the_log_of_the_loss() -> None:
    """And changes nothing before it has learned anything."""
    loss = Loss(weighting="uncertainty")
    denoiser = Denoiser(nn.Identity(), EDM(), aids=loss.aids())
    sigma = torch.logspace(-2.5, 1.8, 200, dtype=torch.float64)
    losses = (2 + torch.sin(sigma.log())) * torch.exp(-sigma.log() / 2)
    assert_close(loss.minimised(denoiser, losses, sigma), losses, rtol=0, atol=0)
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        loss.minimised(denoiser, losses, sigma).mean().backward()
        optimizer.step()
    u = denoiser.aids["uncertainty"](sigma).detach().double()
    assert (u - losses.log()).abs().mean() < 0.05
    assert (loss.minimised(denoiser, losses, sigma) - losses.log() - 1).abs().mean() < 0.01


@pytest.mark.parametrize("weighting", ["elbo", "sigmoid", "simple", "edm"])
@pytest.mark.parametrize("times", ["uniform", "log_normal", "adaptive"])
@pytest.mark.parametrize("objective", ["denoising", "ect", "shortcut", "hybrid", "vlb"])
def test_a_learned_schedule_is_allowed_where_it_is_trained(weighting: str, times: str, objective: str) -> None:
    words = {"loss.objective": objective, "loss.weighting": weighting, "loss.times": times}
    config = resolve("image", words={**words, "schedule": "learned", "target": "edm"}).config
    if objective == "denoising" and times == "uniform" and weighting in ("elbo", "sigmoid"):
        check_names(config)
        return
    with pytest.raises(UserError, match=r"objective=denoising with loss\.times=uniform and loss\.weighting=elbo"):
        check_names(config)


class Known(nn.Module):
    """The network, of target edm, of the exact denoiser of N(0, 0.25)."""

    def forward(self, x: Tensor, log_sigma: Tensor, space: Space, cond: Condition | None) -> Tensor:
        s = space.expand(log_sigma.exp())
        x = x * (s**2 + 1).sqrt()
        x_0 = 0.25 * x / (s**2 + 0.25)
        a, b = TARGETS["edm"](torch.ones_like(s), s, 1.0)
        return a * x_0 + b * (x - x_0) / s


def test_training_the_schedule_lowers_the_variance_of_the_bound() -> None:
    """And leaves its mean: VDM's schedule (Kingma et al., 2021), on Gaussian data and the exact denoiser."""
    loss, n = Loss(weighting="elbo"), 512
    training = Training(Denoiser(Known(), Learned()), loss, OptimConfig(lr=0.05, warmup=1))

    def batch(step: int) -> Batch:
        space = Euclidean(n, (64,))
        return Batch(0.5 * space.noise([stream(1, "data", step, i) for i in range(n)]), space)

    def estimate() -> Tensor:
        u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
        sigma = loss.noise_levels(u, training.module.schedule)
        with torch.no_grad():
            return loss(training.module, batch(0), sigma, streams(2, "eps", range(n)))

    before = estimate()
    data = batch(1)
    for _ in fit(training, lambda step: data, steps=60, batch_size=n):
        pass
    after = estimate()
    exact = 0.25 * math.log((0.25 / Learned().sigma_min ** 2 + 1) / (0.25 / Learned().sigma_max ** 2 + 1)) * 2
    assert after.mean().item() == pytest.approx(before.mean().item(), rel=0.05)
    assert before.mean().item() == pytest.approx(exact, rel=0.05)
    assert after.var() < 0.5 * before.var()
    assert (training.ema.schedule.log_snr(torch.tensor(0.5)) - Learned().log_snr(torch.tensor(0.5))).abs() > 0.1


def test_other_losses_leave_the_learned_schedule_alone() -> None:
    for loss in (Loss(), Loss(weighting="elbo", times="log_normal")):
        training = Training(Denoiser(Fixed().float(), SCHEDULES["learned"]()), loss)
        start = {name: p.clone() for name, p in training.module.schedule.named_parameters()}  # type: ignore[attr-defined]
        list(fit(training, lambda step: ring(16, step), steps=2, batch_size=16))
        for name, p in training.module.schedule.named_parameters():  # type: ignore[attr-defined]
            assert_close(p, start[name], rtol=0, atol=0)
        assert training.module.backbone.w.item() != Fixed().float().w.item()  # type: ignore[union-attr]


def ring(n: int, step: int) -> Batch:
    angle = 6.2832 * torch.rand(n, generator=torch.Generator().manual_seed(step))
    return Batch(torch.stack([angle.cos(), angle.sin()], -1), Euclidean(n, (2,)))


def training_of(schedule: str, loss: Loss) -> Training:
    torch.manual_seed(0)
    network = build_backbone(MLPConfig(hidden=8, layers=1), channels=2, dims=0, conditions={})
    return Training(Denoiser(network, SCHEDULES[schedule](), "v", aids=loss.aids()), loss)


CHOICES = [
    *(("schedule", name) for name in SCHEDULES),
    *(("times", name) for name in TIMES),
    *(("weighting", name) for name in WEIGHTINGS),
    *(("norm", name) for name in NORMS),
]


@pytest.mark.parametrize(("kind", "name"), CHOICES)
def test_every_choice_trains_and_samples(kind: str, name: str) -> None:
    loss = Loss(**{kind: name}) if kind != "schedule" else Loss(weighting="elbo")
    training = training_of(name if kind == "schedule" else "edm", loss)
    before = copy.deepcopy(training.module.state_dict())
    for record in fit(training, lambda step: ring(32, step), steps=3, batch_size=32):
        assert math.isfinite(record.loss)
        assert record.level.max() <= training.module.schedule.sigma_max * (1 + 1e-9)
    changed = {k for k, v in training.module.state_dict().items() if not torch.equal(v, before[k])}
    assert changed >= {k for k in before if k.startswith("schedule")}
    assert any(k.startswith("backbone") for k in changed)
    x = sample(training.ema, Euclidean(4, (2,)), generators=streams(0, "s", range(4)), steps=5)
    assert torch.isfinite(x).all()


@pytest.mark.parametrize(
    ("schedule", "loss"),
    [
        ("edm", Loss(times="adaptive", weighting="uncertainty", times_options={"bins": 4, "depth": 2})),
        ("learned", Loss(weighting="elbo")),
    ],
)
def test_a_run_that_is_gone_on_with_has_the_same_bits(schedule: str, loss: Loss) -> None:
    def go(training: Training, steps: int) -> None:
        list(fit(training, lambda step: ring(16, step), steps=steps, batch_size=16))

    whole, first, second = (training_of(schedule, loss) for _ in range(3))
    go(whole, 8)
    go(first, 5)
    second.module.load_state_dict(first.module.state_dict())
    second.ema.load_state_dict(first.ema.state_dict())
    restore_optimizer(second.module, second.optimizer, optimizer_tensors(first.module, first.optimizer))
    second.step = 5
    go(second, 8)
    for ours, theirs in ((second.module, whole.module), (second.ema, whole.ema)):
        for name, value in theirs.state_dict().items():
            assert torch.equal(value, ours.state_dict()[name]), name
    if schedule == "edm":
        history = whole.module.aids["history"]
        assert isinstance(history, History)
        assert (history.density() != 1).any()
        assert history.seen.sum() == 8 * 16


def test_a_loss_without_its_aid_says_what_to_do() -> None:
    for loss in (Loss(times="adaptive"), Loss(weighting="uncertainty")):
        training = Training(Denoiser(Fixed().float(), EDM()), loss)
        with pytest.raises(ValueError, match=r"aids=loss\.aids\(\)"):
            next(fit(training, lambda step: ring(4, step), steps=1, batch_size=4))


KEYS = {"schedule": "schedule", "times": "loss.times", "weighting": "loss.weighting", "norm": "loss.norm"}


@pytest.mark.parametrize(("kind", "name"), [*CHOICES, *(("target", name) for name in TARGETS)])
def test_the_command_line_takes_every_choice(kind: str, name: str) -> None:
    trains = {"loss.weighting": "elbo", "loss.times": "uniform"} if name == "learned" else {}
    check_names(resolve("image", words={KEYS.get(kind, kind): name, **trains}).config)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"schedule": "flow", "schedule_options.shift": "3"}, ""),
        ({"schedule": "cosine", "schedule_options": "{shift: 4, shift_end: 0.5}"}, ""),
        ({"schedule": "linear", "schedule_options.zero_terminal_snr": "true", "target": "v"}, ""),
        ({"schedule": "linear", "schedule_options.zero_terminal_snr": "true", "target": "eps"}, "noise alone"),
        ({"schedule": "linear", "schedule_options": "{beta_T: 2}"}, "strictly between 0 and 1"),
        ({"schedule": "flow", "schedule_options.shift": "-1"}, "must be positive"),
        ({"schedule": "flow", "schedule_options.shfit": "2"}, "Did you mean 'shift'?"),
        ({"schedule": "learned", "schedule_options.sigma_max": "1e-9"}, "must rise"),
        ({"loss.times": "adaptive", "loss.times_options.bins": "0"}, "whole numbers"),
        ({"loss.times": "mode", "loss.times_options.scale": "9"}, "scale must lie"),
        ({"loss.weighting": "sigmoid", "loss.weighting_options.bias": "-1"}, ""),
    ],
)
def test_options_are_checked_before_any_work(words: dict[str, str], said: str) -> None:
    if not said:
        check_names(resolve("image", words=words).config)
        return
    with pytest.raises(UserError) as error:
        check_names(resolve("image", words=words).config)
    assert said in str(error.value)


def test_the_python_of_the_page_runs() -> None:
    with WEIGHTINGS.temporary(), TIMES.temporary():
        for code in blocks("docs/losses.md", "python"):
            exec(code, {})
        assert "halved" in WEIGHTINGS
        assert "triangle" in TIMES


def test_the_commands_of_the_page_are_taken() -> None:
    told = commands("docs/losses.md")
    assert len(told) > 2
    for verb, flag, domain, *words in told:
        assert (verb, flag) == ("train", "--domain")
        check_names(resolve(domain, words=dict(word.split("=", 1) for word in words)).config)


def test_stratified_points_fall_one_in_each_stratum() -> None:
    u = stratified(64, stream(0, "time", 3))
    assert sorted((u * 64).floor().tolist()) == list(range(64))
    assert math.isclose(float((u.sort().values.diff() * 64).mean()), 1, rel_tol=1e-9)
