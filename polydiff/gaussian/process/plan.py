"""The plan of a request: noise levels and sampler steps, made once and run once a batch.

Symbols: B number of samples, R rows of a state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from polydiff.core.entry import check_states
from polydiff.core.process.process import Trained
from polydiff.core.process.sampling import Draw, Known, Moment
from polydiff.core.space import State
from polydiff.core.streams import streams
from polydiff.gaussian.control.replacement import inpaint, inpainting
from polydiff.gaussian.control.solver import Solver
from polydiff.gaussian.denoise import Denoise
from polydiff.gaussian.forward import at_data_spread
from polydiff.gaussian.guidance.guided import Guided, calls
from polydiff.gaussian.guidance.method import Method
from polydiff.gaussian.objective.jumps import Jumping
from polydiff.gaussian.process.checks import check_sampling
from polydiff.gaussian.process.try_sampling import try_guidance, try_plan
from polydiff.gaussian.sampling.diagnose import describe_failure, within_limit
from polydiff.gaussian.sampling.execute import Step, run_plan
from polydiff.gaussian.sampling.plan import PlanRow, Row, Solve, evaluation_rows, evaluations
from polydiff.gaussian.self_conditioning import SelfConditioned
from polydiff.gaussian.step_size import StepSize
from polydiff.support.errors import UserError, amount

if TYPE_CHECKING:
    from polydiff.contract.sections.sampling import SampleConfig

ADVICE = "Use more steps, less guidance, or the sampler ddim."
"""What to try if samples explode."""


@dataclass(frozen=True)
class GaussianPlan:
    """The noise levels of a request and the sampler's steps between them.

    Arguments:
        model: The trained model.
        how: Sampler, steps, guidance and their options.
        levels: Falling noise levels, from that of the first state to 0.
        rows: The sampler's steps on these levels.
        solver: Conditions draws on a measurement; None: the plan is not for that.
    """

    model: Trained
    how: SampleConfig
    levels: Sequence[float]
    rows: Sequence[PlanRow]
    solver: Solver | None = None

    def evaluations(self, guided: bool) -> int | None:
        """Return the number of network evaluations a sample, with those of weak estimates; None if it varies."""
        plain = evaluations(self.rows)
        if plain is None or self.how.guidance == 1 or not guided:
            return plain
        method, interval = self.method(), self.how.guidance_interval
        return sum(calls(method, interval, row.at) for row in evaluation_rows(self.rows))

    def run(self, draw: Draw, guide: Trained | None = None) -> State:
        """Return the states of a batch, (R, ...); raise UserError if they are not finite or far too large."""
        # one context around all steps, so that autocast keeps the bf16 copies of weights between them
        with torch.autocast(self.model.device.type, enabled=False):
            x = last(self.steps(draw, guide)) if draw.known is None else self.inpainted(draw, draw.known, guide)
            advice = ADVICE if self.solver is None else self.solver.advice
            return checked(x, self.model, self.how, draw, lambda: self.steps(draw, guide), advice)

    def inpainted(self, draw: Draw, known: Known, guide: Trained | None) -> State:
        """Return states, (R, ...), whose known part is as given, to rounding."""
        denoise, generators = self.denoise(draw, guide), self.generators(draw)
        x, mask = known
        check_states(x, draw.space, levels=self.levels, name="the known states")
        return inpaint(denoise, self.rows, draw.space, draw.cond, known=x, mask=mask, generators=generators)

    def steps(self, draw: Draw, guide: Trained | None) -> Iterator[Step]:
        """Yield the steps of a batch; a second call yields the same bits."""
        denoise, generators, space, cond = self.denoise(draw, guide), self.generators(draw), draw.space, draw.cond
        if draw.known is not None:
            x, mask = draw.known
            return inpainting(denoise, self.rows, space, cond, known=x, mask=mask, generators=generators)
        noise = self.levels[0] * space.noise(generators)
        if draw.init is not None:
            check_states(draw.init, draw.space, levels=self.levels, name="the given states")
        x = noise if draw.init is None else draw.init + noise
        return run_plan(self.rows, denoise, x, space, cond, generators)

    def trace(self, draw: Draw, guide: Trained | None = None) -> Iterator[Moment]:
        """Yield the states from the prior to the samples, with the estimates there (`core.process.sampling.Traces`).

        Nothing for a sampler whose solver evaluates the network by itself.
        """
        if any(isinstance(row, Solve) for row in self.rows):
            return
        data = self.model.denoiser.sigma_data
        x: State = self.levels[0] * draw.space.noise(self.generators(draw))
        with torch.autocast(self.model.device.type, enabled=False):
            for row, step in zip(self.rows, self.steps(draw, guide), strict=True):
                if isinstance(row, Row):  # other rows have no estimate of their own
                    yield Moment(row.at, at_data_spread(x, row.at, data), step.x_0)
                x = step.x
        yield Moment(0.0, x, x)

    def generators(self, draw: Draw) -> list[torch.Generator]:
        """Return a new random stream for each sample, at its start."""
        return streams(draw.seed, "sample", draw.indices, self.model.device)

    def denoise(self, draw: Draw, guide: Trained | None) -> Denoise:
        """Return the denoiser of one batch: guided if the draw is, self-conditioned if the model is."""
        denoiser = self.denoiser(self.model, draw)
        if draw.guided:
            weak = None if guide is None else self.denoiser(guide, draw)
            interval = self.how.guidance_interval
            denoiser = Guided(denoiser, self.method(), weak, draw.weak, interval, draw.joined)
        if draw.observed is not None and self.solver is not None:
            denoiser = self.solver.around(denoiser, *draw.observed, self.rows)
        return SelfConditioned(denoiser) if self.model.config.backbone.self_condition else denoiser

    def denoiser(self, model: Trained, draw: Draw) -> Denoise:
        """Return a model's network in the precision of sampling, conditioned on step sizes by the sampler shortcut.

        A guide need not be a shortcut model, so each model is wrapped by its own configuration.
        """
        network: Denoise = in_precision(model, self.how.precision, draw.compile)
        if self.how.sampler != "shortcut" or not model.config.backbone.step_size:
            return network
        finest = model.config.loss.objective_options.get("finest", Jumping.finest)
        return StepSize(network, self.rows, int(finest))

    def method(self) -> Method:
        """Return a new method of guidance; a method may store the state of its run, so each batch needs its own."""
        return try_guidance(self.how, self.rows, self.model.denoiser.schedule)


def plan_of(model: Trained, how: SampleConfig, start: float | None = None) -> GaussianPlan:
    """Return the plan of a request.

    Arguments:
        model: The trained model.
        how: Sampler, steps, guidance and their options.
        start: Noise level to start from; None: the schedule's highest.

    Raises:
        UserError: A name or an option is wrong, or the model does not support the sampler.
    """
    check_sampling(model.config, how)
    schedule = model.denoiser.schedule
    plan = GaussianPlan(model, how, *try_plan(how, schedule, model.denoiser.sigma_data, start))
    if how.guidance != 1:
        plan.method()
    if how.sampler == "shortcut" and not model.config.backbone.step_size:
        raise UserError(
            "The sampler shortcut needs a run with loss.objective=shortcut or mean_flow. Use ddim or dpmpp_2m here."
        )
    return plan


def in_precision(model: Trained, precision: str, compiled: bool = False) -> Any:
    """Return a model's network, compiled or not, in an autocast precision, with the same weights."""
    return (model.compiled if compiled else model.denoiser).with_precision(precision)


def last(steps: Iterator[Step]) -> State:
    """Return the state of the last step."""
    for step in steps:
        x = step.x
    return x


def checked(
    x: State,
    model: Trained,
    how: SampleConfig,
    draw: Draw,
    again: Callable[[], Iterator[Step]] | None = None,
    advice: str = ADVICE,
) -> State:
    """Return states unchanged; raise UserError if they are not finite or far too large.

    Steps are not checked while they run. If the result is wrong, the run is repeated with the same bits, and each state
    of the repetition is checked to find the first wrong one.

    Arguments:
        x: Sampled states, (R, ...).
        model: The model that sampled them.
        how: Sampler, steps and guidance, for the message.
        draw: Their space and their indices.
        again: Repeats the run, step by step; None: the message does not say where the run went wrong.
        advice: Last sentence of the message.
    """
    if within_limit(x, 0.0, model.denoiser.sigma_data):
        return x
    what = "explode" if torch.isfinite(x).all() else "are not finite"
    place = "" if again is None else describe_failure(again(), draw.space, draw.indices, model.denoiser)
    raise UserError(
        f"Samples of step {model.step} {what} (sampler {how.sampler}, {amount(how.steps, 'step')}, "
        f"guidance {how.guidance:g})"
        f"{place}. {advice}"
    )
