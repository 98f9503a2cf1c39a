"""Gaussian diffusion, x = x_0 + s eps, as a process (`polydiff.core.process`).

Symbols: s noise level, eps standard normal noise on the space.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from polydiff.core.conditions import Condition
from polydiff.core.objective import Objective
from polydiff.core.process.abilities import Calibration
from polydiff.core.process.process import PROCESSES, Trained
from polydiff.core.process.sampling import Draw
from polydiff.core.space import Batch, Euclidean, Space, State, shared_level
from polydiff.core.streams import streams
from polydiff.gaussian.control.invert import interpolate, strength_level
from polydiff.gaussian.control.replacement import repaint
from polydiff.gaussian.control.solver import SOLVERS, Solver
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.forward import at_data_spread, decisive_levels, noisy_state
from polydiff.gaussian.likelihood.terms import decoder_level
from polydiff.gaussian.objective.base import build_objective, own_samplers
from polydiff.gaussian.process.bounds import BOUNDS, GaussianBound
from polydiff.gaussian.process.calibrate import calibrate
from polydiff.gaussian.process.checks import check_names, registries, sampling_registries
from polydiff.gaussian.process.plan import GaussianPlan, checked, in_precision, plan_of
from polydiff.gaussian.sampling.execute import sample
from polydiff.gaussian.sampling.plan import SAMPLERS
from polydiff.gaussian.schedule.base import SCHEDULES, Schedule
from polydiff.machine.device import pick_precision
from polydiff.support.errors import attempt

if TYPE_CHECKING:
    from polydiff.contract.domain import Domain
    from polydiff.contract.sections.run import Config
    from polydiff.contract.sections.sampling import SampleConfig
    from polydiff.core.units import Units


@dataclass(frozen=True)
class GaussianProcess:
    """Gaussian diffusion: noise of falling levels, and a network that estimates the clean state.

    Its methods are those of `polydiff.core.process` and `polydiff.core.likelihood.Bounds`, documented there.
    """

    name: str = "gaussian"

    def check(self, config: Config) -> None:
        check_names(config)

    def values(self) -> Mapping[str, Collection[str]]:
        return {key: [*names] for key, names in (registries() | sampling_registries()).items()}

    def network(self, config: Config, domain: Domain, device: torch.device) -> Denoiser:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            backbone = domain.backbone()
        schedule = SCHEDULES[config.schedule](**config.schedule_options)
        precision = pick_precision(config.train.precision, device)
        denoiser = Denoiser(
            backbone,
            schedule,
            config.target,
            precision=precision,
            aids=build_objective(config).loss.aids(),
            self_condition=config.backbone.self_condition,
        )
        return denoiser.to(device)

    def objective(self, config: Config) -> Objective[Any]:
        return build_objective(config)

    def plan(self, model: Trained, how: SampleConfig) -> GaussianPlan:
        return plan_of(model, how)

    def sampler_names(self, config: Config) -> Sequence[str]:
        return list(SAMPLERS)

    def prior(self, space: Space, generators: Sequence[torch.Generator]) -> State:
        return space.noise(generators)

    def evaluate(self, network: torch.nn.Module, batch: Batch) -> None:
        network(batch.x, torch.ones(batch.space.batch, device=batch.x.device), batch.space, batch.cond)

    def varying(self, model: Trained, how: SampleConfig, strength: float) -> GaussianPlan:
        start = attempt("vary", lambda: strength_level(model.denoiser.schedule, strength))
        return plan_of(model, how, start)

    def levels(self, model: Trained, n: int) -> Sequence[float]:
        return decisive_levels(model.denoiser.schedule, model.denoiser.sigma_data, n)

    def noisy(self, model: Trained, batch: Batch, level: float, generators: Sequence[torch.Generator]) -> State:
        return noisy_state(batch.x, level, batch.space.noise(generators))

    def estimate(self, model: Trained, noisy: Batch, level: float) -> State:
        x, space, cond = noisy
        estimate: State = in_precision(model, "float32")(x, shared_level(level), space, cond)
        return estimate

    def visible(self, model: Trained, x: State, level: float) -> State:
        return at_data_spread(x, level, model.denoiser.sigma_data)

    def inpainting(self, model: Trained, how: SampleConfig, jump: int, resample: int) -> GaussianPlan:
        """Return a plan by RePaint (`polydiff.gaussian.control.replacement.repaint`).

        Arguments:
            model: The network to sample with.
            how: Sampler, steps, guidance and their options.
            jump: Number of steps in each piece of the plan.
            resample: Number of runs of each piece; 1: the sampler's own plan.
        """
        plan, data = plan_of(model, how), model.denoiser.sigma_data
        rows = attempt("inpaint", lambda: repaint(plan.levels, how.sampler, jump, resample, data, **how.options))
        return replace(plan, rows=rows)

    @property
    def solvers(self) -> Mapping[str, Mapping[str, Any]]:
        return SOLVERS

    def solving(self, model: Trained, how: SampleConfig, solver: str, options: Mapping[str, Any]) -> GaussianPlan:
        plan, method = plan_of(model, how), attempt(f"how={solver}", lambda: Solver(solver, **options))
        attempt(f"how={solver}", lambda: method.check(plan.rows))
        return replace(plan, solver=method)

    def between(
        self,
        model: Trained,
        how: SampleConfig,
        ends: tuple[State, State],
        draw: Draw,
        shares: Sequence[float],
        steps: int,
    ) -> Iterator[State]:
        """Yield interpolated states (R, ...), one for each share (`polydiff.gaussian.control.invert.interpolate`).

        Arguments:
            model: The network to sample with.
            how: Gives the precision of the network; the other keys are used in messages.
            ends: Two batches of clean states, (R, ...) each.
            draw: Space and conditions of the states, and whether the network is compiled.
            shares: Shares of the way from the first end (0) to the second (1).
            steps: Number of noise levels of each encoding and decoding.
        """
        # no self-conditioning: an ODE whose slope depends on the last estimate has no way back
        denoise = in_precision(model, how.precision, draw.compile)
        for x in interpolate(denoise, *ends, draw.space, draw.cond, shares=shares, steps=steps):
            yield checked(x, model, how, draw)

    def calibrate(
        self, model: Trained, how: SampleConfig, draws: tuple[Draw, Draw], guide: Trained | None
    ) -> Calibration:
        return calibrate(model, how, draws, guide)

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
