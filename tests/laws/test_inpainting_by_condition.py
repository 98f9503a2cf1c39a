"""Inpainting by a network conditioned on the known part: exact, where replacement is biased."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from polydiff import Batch, Denoiser, Euclidean, Loss, Training, fit, streams
from polydiff.config.merge import resolve
from polydiff.contract.sections.training import OptimConfig
from polydiff.contract.tasks.enlarge import Enlarge
from polydiff.contract.tasks.inpaint import Inpaint, known
from polydiff.core.condition_batch import blank_conditions
from polydiff.core.conditions import KNOWN, Aligned, Condition
from polydiff.core.space import Space, State, per_sample
from polydiff.gaussian.control.replacement import inpaint, repaint
from polydiff.gaussian.sampling.spacing import noise_levels
from polydiff.gaussian.schedule.base import SCHEDULES, Schedule
from polydiff.gaussian.schedule.closed_forms import EDM
from polydiff.model.edit import inpaint as inpaint_examples
from polydiff.model.model import Model
from polydiff.model.user_conditions import edited_conditions


@pytest.mark.parametrize("sizes", [(30,), (9, 14)])
@pytest.mark.parametrize("task", [Inpaint(2), Enlarge(2, 4)], ids=["inpaint", "enlarge"])
def test_a_blank_condition_has_the_shape_of_an_observed_one(task: Inpaint | Enlarge, sizes: tuple[int, ...]) -> None:
    x = torch.randn(3, 2, *sizes)
    made = task.observe(x, streams(0, "mask", range(3)))
    blank = blank_conditions(task.conditions, 3, sizes)
    assert {name: value.shape for name, value in made.items()} == {name: value.shape for name, value in blank.items()}
    assert all(kind.mismatch(made[name], 3) is None for name, kind in task.conditions.items())


N = 8
COVARIANCE = 0.9 ** (torch.arange(N)[:, None] - torch.arange(N)).abs().double()
"""Covariance of signals of N samples, each 0.9 times the one before plus noise: AR(1)."""


@dataclass
class Autoregressive:
    """E[x_0 | x, y] of Gaussian signals (B, 1, N), where y are the samples that cond["known"] gives."""

    schedule: Schedule = field(default_factory=lambda: EDM(sigma_max=40.0))
    sigma_data: float = 1.0
    known: list[Tensor] = field(default_factory=list)
    """Where each call was given a known sample, (B, 1, N)."""

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        y = (torch.full_like(x, torch.nan) if cond is None else cond[KNOWN]).double()
        out, s = y.clone(), per_sample(sigma, y, space)[:, None]
        for gap in y[:, 0].isnan().unique(dim=0):
            rows = (y[:, 0].isnan() == gap).all(1)
            mean, covariance = conditional(y[rows, 0])
            values, vectors = torch.linalg.eigh(covariance[gap][:, gap])
            off = (x.to(y)[rows, 0][:, gap] - mean[:, gap]) @ vectors * values / (values + s[rows] ** 2)
            out[rows.nonzero(), 0, gap.nonzero()[:, 0]] = mean[:, gap] + off @ vectors.T
        self.known.append(~y.isnan())
        return out.to(x)


def conditional(y: Tensor) -> tuple[Tensor, Tensor]:
    """Return means (B, N) and covariance (N, N) of signals given their samples that are not NaN, at the same places."""
    here = ~y[0].isnan()
    gain = COVARIANCE[:, here] @ torch.linalg.inv(COVARIANCE[here][:, here])
    return y[:, here] @ gain.T, COVARIANCE - gain @ COVARIANCE[here]


GAP = torch.tensor([1, 1, 1, 0, 0, 0, 1, 1.0])
Y = torch.tensor([0.2, 0.9, 1.5, 0, 0, 0, 1.2, 0.4], dtype=torch.float64)


def test_a_conditioned_network_inpaints_exactly_and_replacement_does_not() -> None:
    """The gap has the exact mean and covariance; with as many steps of replacement its mean is off by over 0.1."""
    n = 1000
    space, y = Euclidean(n, (1, N), dtype=torch.float64), Y.expand(n, 1, N)
    (mean,), covariance = conditional(known(Y, GAP)[None])
    gap = GAP == 0

    def filled(cond: Condition | None) -> Tensor:
        denoiser = Autoregressive()
        rows = repaint(noise_levels(denoiser.schedule, 18, "karras"), "heun")
        x = inpaint(denoiser, rows, space, cond, known=y, mask=GAP, generators=streams(0, "x", range(n)))
        assert_close(x[..., ~gap], y[..., ~gap], rtol=0, atol=1e-12)
        return x[:, 0, gap]

    conditioned, replaced = filled({KNOWN: known(y, GAP)}), filled(None)
    error = (conditioned.mean(0) - mean[gap]).abs()
    assert error.max() < 5 * (covariance.diagonal().max() / n) ** 0.5
    assert_close(conditioned.T.cov(), covariance[gap][:, gap], rtol=0, atol=0.03)
    assert (replaced.mean(0) - mean[gap]).abs().max() > 3 * error.max()
    assert (replaced.mean(0) - mean[gap]).abs().max() > 0.1


@dataclass
class Signals:
    """A domain of signals whose network can be conditioned on a known part, and on a label that it ignores."""

    conditions: Any = field(default_factory=lambda: {"label": 3, KNOWN: Aligned(1)})

    def decode(self, x: State, space: Space) -> list[Tensor]:
        return list(x)

    def blank(self, generators: Any, requested: Any) -> tuple[Space, Condition]:
        n = len(generators)
        cond = blank_conditions(self.conditions, n, (N,)) | {"label": torch.full((n,), int(requested.get("label", 0)))}
        return Euclidean(n, (1, N)), cond


def model(denoiser: Any) -> Model:
    denoiser.modules = list
    denoiser.with_precision = lambda precision: denoiser
    return Model(resolve("image").config, Signals(), denoiser)  # type: ignore[arg-type]


def batch(n: int) -> Batch:
    x = Y.expand(n, 1, N).float()
    cond = {"label": torch.arange(n) % 3, **Inpaint(1).observe(x, streams(0, "mask", range(n)))}
    return Batch(x, Euclidean(n, (1, N)), cond)


def test_a_model_is_conditioned_on_the_part_that_the_mask_selects() -> None:
    """The random mask of a training batch is not used, and guidance gives the known part to both estimates."""
    given = batch(6)
    exact = Autoregressive()
    plain = inpaint_examples(model(exact), given, GAP, steps=4, sampler="heun", guidance=1.0)
    assert torch.equal(torch.cat(exact.known), (GAP == 1).expand(len(exact.known) * 6, 1, N))
    guided = inpaint_examples(model(Autoregressive()), given, GAP, steps=4, sampler="heun", guidance=3.0, batch_size=1)
    assert_close(torch.stack(list(guided.examples)), torch.stack(list(plain.examples)), rtol=0, atol=1e-4)
    away = {"guidance": 3.0, "negative": {"label": 1}, "batch_size": 1}
    other = inpaint_examples(model(Autoregressive()), given, GAP, steps=4, sampler="heun", **away)
    assert_close(torch.stack(list(other.examples)), torch.stack(list(plain.examples)), rtol=0, atol=1e-4)
    assert plain.cond is not None
    assert set(plain.cond) == {"label"}  # the known part is no condition that a user requests


def test_a_variation_is_not_conditioned_on_the_example() -> None:
    given = batch(4)
    cond = edited_conditions(model(Autoregressive()), given, {"label": 2}, 0, range(4))
    assert cond is not None
    assert cond[KNOWN].isnan().all()
    assert cond["label"].tolist() == [2] * 4


class Context(nn.Module):
    """A small network for two numbers, conditioned on which of them are known and on their values."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(7, 96), nn.SiLU(), nn.Linear(96, 96), nn.SiLU(), nn.Linear(96, 2))

    def forward(self, x: Tensor, log_sigma: Tensor, space: Space, cond: Condition | None = None) -> Tensor:
        y = torch.full_like(x, torch.nan) if cond is None else cond[KNOWN]
        parts = [x[:, 0], log_sigma[:, None] / 4, y[:, 0].nan_to_num(0), y[:, 0].isnan().to(x)]
        out: Tensor = self.layers(torch.cat(parts, 1))
        return out[:, None]


def test_training_with_masks_learns_the_conditional() -> None:
    """Two numbers of correlation 0.8: given the first at 1.5, the second has the mean 1.2 and the variance 0.36."""

    torch.manual_seed(0)
    z = torch.randn(8192, 1, 2)
    z = torch.cat([z, -z])
    x = torch.stack([z[..., 0], 0.8 * z[..., 0] + 0.6 * z[..., 1]], -1)
    y = Inpaint(1).observe(x, streams(0, "mask", range(len(x))))[KNOWN]

    def pairs(step: int) -> Batch:
        rows = torch.arange(256 * step, 256 * (step + 1)) * 4099 % len(x)
        return Batch(x[rows], Euclidean(256, (1, 2)), {KNOWN: y[rows]})

    loss = Loss(times="log_normal", times_options={"mean": 0.0, "std": 1.5})
    training = Training(
        Denoiser(Context(), SCHEDULES["edm"](sigma_max=20.0)), loss, OptimConfig(lr=1e-2, decay="cosine")
    )
    for _ in fit(training, pairs, steps=400, batch_size=256, ema=0.98):
        pass
    n = 2000
    space, y, mask = Euclidean(n, (1, 2)), torch.tensor([1.5, 0.0]).expand(n, 1, 2), torch.tensor([1.0, 0.0])
    rows = repaint(noise_levels(training.ema.schedule, 12, "karras"), "heun")

    def second(cond: Condition | None) -> Tensor:
        generators = streams(0, "x", range(n))
        with torch.no_grad():
            return inpaint(training.ema, rows, space, cond, known=y, mask=mask, generators=generators)[:, 0, 1]

    conditioned, replaced = second({KNOWN: known(y, mask)}), second(None)
    assert abs(conditioned.mean() - 1.2) < 0.06
    assert abs(conditioned.var() - 0.36) < 0.12
    assert abs(replaced.mean() - 1.2) > 0.4


@pytest.mark.parametrize("target", ["eps", "x0", "v", "flow", "edm"])
def test_an_estimate_is_exact_where_the_state_is_known(target: str) -> None:
    """The network's output there is not used. The rest of the estimate, and of the loss, is that of the network."""
    torch.manual_seed(0)
    denoiser = Denoiser(Context(), SCHEDULES["edm"](), target=target)
    x_0 = torch.randn(5, 1, 2)
    y = Inpaint(1).observe(x_0, streams(1, "mask", range(5)))[KNOWN]
    space, sigma = Euclidean(5, (1, 2)), torch.tensor([0.01, 0.1, 0.7, 3.0, 20.0])
    generators = streams(0, "eps", range(5))
    x = x_0 + space.expand(sigma) * space.noise(generators)
    estimate = denoiser(x, sigma, space, {KNOWN: y})
    here = ~y.isnan()
    assert 0 < int(here.sum()) < y.numel()
    assert_close(estimate[here], x_0[here], rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        rest = denoiser.to_x0(
            x, denoiser.backbone(x / (sigma**2 + 1).sqrt()[:, None, None], sigma.log(), space, {KNOWN: y}), sigma, space
        )
    assert_close(estimate[~here], rest[~here])
    whole = {KNOWN: x_0.clone()}
    loss = Loss()(denoiser, Batch(x_0, space, whole), sigma, streams(0, "eps", range(5)))
    assert loss.max() < 1e-6


def test_guidance_gives_the_condition_of_a_task_to_both_estimates() -> None:
    """With no condition but the known part, guidance changes nothing and needs no second estimate."""
    given = batch(6)
    space, y = given.space, known(given.x, GAP)

    def states(cond: Condition, **how: Any) -> tuple[State, int]:
        exact = Autoregressive()
        used = model(exact)
        plan = used.plan(steps=4, sampler="heun", batch_size=1, **how)
        return used.states(space, cond, 0, range(6), plan), max(map(len, exact.known))

    nothing = torch.full((6,), -1)
    plain, _ = states({"label": nothing, KNOWN: y}, guidance=1.0)
    guided, rows = states({"label": nothing, KNOWN: y}, guidance=3.0)
    assert torch.equal(guided, plain)
    assert rows == 6
    requested, rows = states({"label": nothing + 1, KNOWN: y}, guidance=3.0)
    assert_close(requested, plain)  # the denoiser ignores labels
    assert rows == 12
