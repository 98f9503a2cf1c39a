"""Losses: the residual's scale, the weightings' definitions, and what must not matter."""

from __future__ import annotations

import copy
import math
from types import MappingProxyType

import pytest
import torch
from loss_cases import Fixed, ring
from oracles import GaussianDenoiser, dense, euclidean
from repository import blocks, training_settings
from torch import Tensor, nn
from torch.testing import assert_close

from polydiff.backbones.config import MLPConfig
from polydiff.config.merge import resolve
from polydiff.contract.backbone import build_backbone
from polydiff.contract.sections.training import OptimConfig
from polydiff.core.conditions import Condition
from polydiff.core.space import Batch, Euclidean, Space, sqnorm
from polydiff.core.streams import stream, streams
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.loss.base import Loss
from polydiff.gaussian.loss.noise_levels import TIMES, importance
from polydiff.gaussian.loss.norms import NORMS
from polydiff.gaussian.loss.state import History
from polydiff.gaussian.loss.weightings import WEIGHTINGS, Weighting, weighting_of
from polydiff.gaussian.process.checks import check_names
from polydiff.gaussian.sampling.execute import sample
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.gaussian.schedule.closed_forms import EDM
from polydiff.gaussian.schedule.learned import Learned
from polydiff.gaussian.target import TARGETS
from polydiff.support.errors import UserError
from polydiff.training.loop import Training, fit
from polydiff.training.optimizers import optimizer_tensors, restore_optimizer


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
    "flow": torch.where(SNR < 400, (1 + SNR.sqrt()) ** 2, 441.0),
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


@pytest.mark.parametrize("weighting", ["elbo", "sigmoid", "simple", "edm"])
@pytest.mark.parametrize("times", ["uniform", "log_normal", "adaptive"])
@pytest.mark.parametrize("objective", ["denoising", "ect", "shortcut", "mean_flow", "hybrid", "vlb"])
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
def test_a_resumed_run_has_the_same_bits(schedule: str, loss: Loss) -> None:
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
        ({"schedule": "linear", "schedule_options.zero_terminal_snr": "true", "target": "eps"}, "at pure noise"),
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


def test_the_commands_of_the_page_name_known_settings() -> None:
    settings = training_settings("docs/losses.md")
    assert len(settings) > 2
    for config in settings:
        check_names(config)
