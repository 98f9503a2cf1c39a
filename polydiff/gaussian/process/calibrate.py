"""Calibration of the sampler to a trained network, guidance included (`polydiff.gaussian.calibration`).

Symbols: e relative distance of a sample from the solution of the ODE from the same noise, B number of samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import torch

from polydiff.core.process.abilities import Calibration
from polydiff.core.process.process import Trained
from polydiff.core.process.sampling import Draw
from polydiff.core.space import State
from polydiff.gaussian.calibration.fit import Solution, fit, form_of
from polydiff.gaussian.calibration.recall import Calls, Recalled
from polydiff.gaussian.process.plan import GaussianPlan, last, plan_of
from polydiff.gaussian.sampling.calibrated import coefficients
from polydiff.gaussian.sampling.diagnose import within_limit
from polydiff.gaussian.sampling.plan import PlanRow, evaluations
from polydiff.support.errors import UserError
from polydiff.support.progress import Counting

if TYPE_CHECKING:
    from polydiff.contract.sections.sampling import SampleConfig

FEWEST, MOST = 2, 50
"""Numbers of steps that can be calibrated."""
SOLUTION_STEPS = 160
"""Steps of the sampler "auto" whose result stands for the solution of the ODE."""
ROUNDS = 3
"""Largest number of sets of derivatives of one fit."""
DEFAULT: dict[str, Any] = {"sampler": "auto", "options": {}, "spacing": None, "spacing_options": {}}
"""Keys of the section `sample` of the default sampler."""
BEYOND_CHANCE = 2.0
"""Standard errors by which the mean of log e must fall on samples that the fit has not seen."""


@dataclass(frozen=True)
class Recalling:
    """A trained network that remembers the calls of a run (`polydiff.gaussian.calibration.recall`).

    Arguments:
        model: The network.
        calls: Its memory.
    """

    model: Trained
    calls: Calls = field(default_factory=Calls)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    @property
    def denoiser(self) -> Recalled:
        return Recalled(self.model.denoiser, self.calls)

    @property
    def compiled(self) -> Recalled:
        return Recalled(self.model.compiled, self.calls)


@dataclass(frozen=True)
class Runs:
    """Runs of plans on one batch, from the same noise.

    Arguments:
        plan: A plan whose model is a `Recalling`; its levels and rows are replaced.
        draw: The batch.
        guide: A worse model to guide away from; None: none.
    """

    plan: GaussianPlan
    draw: Draw
    guide: Trained | None

    def __call__(self, levels: Sequence[float], rows: Sequence[PlanRow], again: bool = False) -> State:
        """Return the states at which rows end; `again`: remember the calls of the network for runs that begin alike."""
        self.plan.model.calls.begin(again)  # type: ignore[attr-defined]
        plan = replace(self.plan, levels=levels, rows=rows)
        with torch.autocast(self.plan.model.device.type, enabled=False):
            return last(plan.steps(self.draw, self.guide))

    def solution(self) -> Solution:
        """Return where the ODE ends, by many steps; raise UserError if these states explode."""
        how = self.plan.how.model_copy(update={**DEFAULT, "steps": max(SOLUTION_STEPS, 4 * self.plan.how.steps)})
        fine = plan_of(self.plan.model, how)
        x = self(fine.levels, fine.rows)
        if not within_limit(x, 0.0, self.plan.model.denoiser.sigma_data):
            raise UserError(
                f"Samples of step {self.plan.model.step} explode with {how.steps} steps and guidance {how.guidance:g}, "
                "so there is nothing to calibrate to. Train longer, or use less guidance."
            )
        return Solution(x, self.draw.space)


def calibrate(model: Trained, how: SampleConfig, draws: tuple[Draw, Draw], guide: Trained | None) -> Calibration:
    """Return the calibrated sampler of a network (`polydiff.core.process.abilities.Calibrates`).

    Arguments:
        model: The network.
        how: Steps, guidance and their options.
        draws: A batch to fit on, and one that shows whether that was worth it.
        guide: A worse model to guide away from; None: none.
    """
    if not FEWEST <= how.steps <= MOST:
        raise UserError(
            f"steps={how.steps}: a sampler can be calibrated for {FEWEST} to {MOST} steps. With more, the default "
            "sampler is near the solution."
        )
    plan = plan_of(Recalling(model), how.model_copy(update=DEFAULT))
    there, held_out = (Runs(plan, draw, guide) for draw in draws)
    form = form_of(plan.levels, evaluations(plan.rows) or how.steps, model.denoiser.sigma_data)
    solution = there.solution()
    with Counting("plans tried", None) as show:
        best = fit(form, there, solution, ROUNDS, show)
    truth = held_out.solution()
    before = truth.errors(held_out(plan.levels, plan.rows))
    made = form.rows(best.theta)
    assert made is not None
    levels, rows = made
    errors = truth.errors(held_out(levels, rows))
    if not better(errors.tolist(), before.tolist()):
        return Calibration({**DEFAULT, "steps": how.steps}, before.tolist(), before.tolist(), True)
    sampling = {
        "steps": how.steps,
        "sampler": "calibrated",
        "options": coefficients(rows),
        "spacing": "own",
        "spacing_options": {"levels": levels[:-1]},
    }
    return Calibration(sampling, errors.tolist(), before.tolist(), False)


def better(errors: Sequence[float], before: Sequence[float]) -> bool:
    """Return whether errors (B,) are smaller than others of the same samples, beyond chance, and without larger ones.

    The mean of the logarithms must fall by `BEYOND_CHANCE` standard errors, and the root mean square must not rise: it
    is that of the worst samples.
    """
    gains = [math.log(b / a) if math.isfinite(a) else -math.inf for a, b in zip(errors, before, strict=True)]
    if not all(map(math.isfinite, gains)):
        return False
    beyond = mean(gains) > BEYOND_CHANCE * stdev(gains) / math.sqrt(len(gains))
    return beyond and math.hypot(*errors) <= math.hypot(*before)
