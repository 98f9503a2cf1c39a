"""Gaussian diffusion as a process: x = x_0 + s eps (`polydiff.process`).

Symbols: s noise level, eps standard normal noise on the space.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from polydiff.checks import check_names
from polydiff.control import interpolate, repaint, strength_level
from polydiff.denoise import Denoiser
from polydiff.device import pick_precision
from polydiff.errors import attempt
from polydiff.gaussian_bounds import BOUNDS, GaussianBound
from polydiff.gaussian_plan import GaussianPlan, checked, in_precision, plan_of
from polydiff.likelihood import decoder_level
from polydiff.objective.base import Objective, build_objective, own_samplers
from polydiff.process import PROCESSES, Draw, Trained
from polydiff.random import streams
from polydiff.sampling import sample
from polydiff.schedule import SCHEDULES, Schedule
from polydiff.space import Batch, Condition, Euclidean, Space, State

if TYPE_CHECKING:
    from polydiff.abilities import Units
    from polydiff.config import Config, SampleConfig
    from polydiff.domain import Domain


@dataclass(frozen=True)
class GaussianProcess:
    """States with Gaussian noise of falling levels, and a network that estimates the clean state."""

    name: str = "gaussian"

    def check(self, config: Config) -> None:
        check_names(config)

    def network(self, config: Config, domain: Domain, device: torch.device) -> Denoiser:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            backbone = domain.backbone()
        schedule = SCHEDULES[config.schedule](**config.schedule_options)
        precision = pick_precision(config.train.precision, device)
        aids, told = build_objective(config).loss.aids(), config.backbone.self_condition
        made = Denoiser(backbone, schedule, config.target, precision=precision, aids=aids, self_condition=told)
        return made.to(device)

    def objective(self, config: Config) -> Objective:
        return build_objective(config)

    def plan(self, model: Trained, how: SampleConfig) -> GaussianPlan:
        return plan_of(model, how)

    def prior(self, space: Space, generators: Sequence[torch.Generator]) -> State:
        return space.noise(generators)

    def evaluate(self, network: torch.nn.Module, batch: Batch) -> None:
        network(batch.x, torch.ones(batch.space.batch, device=batch.x.device), batch.space, batch.cond)

    def varying(self, model: Trained, how: SampleConfig, strength: float) -> GaussianPlan:
        start = attempt("vary", lambda: strength_level(model.denoiser.schedule, strength))
        return plan_of(model, how, start)

    def inpainting(self, model: Trained, how: SampleConfig, jump: int, resample: int) -> GaussianPlan:
        plan, data = plan_of(model, how), model.denoiser.sigma_data
        rows = attempt("inpaint", lambda: repaint(plan.levels, how.sampler, jump, resample, data, **how.options))
        return replace(plan, rows=rows)

    def between(
        self,
        model: Trained,
        how: SampleConfig,
        ends: tuple[State, State],
        draw: Draw,
        shares: Sequence[float],
        steps: int,
    ) -> Iterator[State]:
        # without self-conditioning: what depends on the estimate before does not lead back to where it came from
        denoise = in_precision(model, how.precision, draw.compile)
        for x in interpolate(denoise, *ends, draw.space, draw.cond, shares=shares, steps=steps):
            yield checked(x, model, how, draw)

    @property
    def bounds(self) -> Mapping[str, str]:
        return BOUNDS

    def bound(self, model: Trained, units: Sequence[Units | None], draws: int) -> GaussianBound:
        return GaussianBound(model, draws, decoder_level(units, model.denoiser.schedule))

    def sampler_spread(self, model: Trained, how: SampleConfig) -> float | None:
        if how.sampler in own_samplers():
            return None
        x = sample(
            StandardNormal(model.denoiser.schedule),
            Euclidean(64, (64,)),
            generators=streams(0, "alone", range(64)),
            steps=how.steps,
            sampler=how.sampler,
            spacing=how.spacing,
            spacing_options=how.spacing_options,
            **how.options,
        )
        return float(x.square().mean().sqrt())


@dataclass(frozen=True)
class StandardNormal:
    """The exact denoiser of data N(0, 1): x / (1 + s^2).

    Arguments:
        schedule: Gives the range of noise levels.
    """

    schedule: Schedule
    sigma_data: float = 1.0

    def __call__(self, x: State, sigma: torch.Tensor, space: Space, cond: Condition | None = None) -> State:
        return x / space.expand(1 + sigma.to(x) ** 2)


PROCESSES.register("gaussian")(GaussianProcess())
