"""Checks of a configuration of a process of parts: names, options and what the process does not have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from polydiff.contract.backbone import check_role
from polydiff.contract.names import check_chosen, check_options
from polydiff.contract.sections.training import LossConfig
from polydiff.gaussian.objective.base import OBJECTIVES
from polydiff.parts.kernel import KernelEntry
from polydiff.parts.schedule import LEVEL_SCHEDULES, slopes
from polydiff.support.errors import UserError, attempt, shortened, unknown

if TYPE_CHECKING:
    from polydiff.contract.sections.run import Config


def check_part_names(config: Config, entry: KernelEntry) -> None:
    """Raise UserError unless the names and options of a configuration suit a process of one part."""
    check_absent(config)
    check_role(config.backbone.name, "denoiser", f"process={config.process}")
    check_chosen(config.model_dump(), {"schedule": LEVEL_SCHEDULES})
    check_schedule("schedule", config.schedule, config.schedule_options)
    check_interval(config)
    if config.loss.weighting not in entry.weightings:
        raise unknown(f"loss.weighting of process={config.process}", config.loss.weighting, entry.weightings)
    if config.sample.sampler not in entry.samplers:
        raise UserError(f"sample.sampler: {entry.samplers.unknown(config.sample.sampler)}")
    check_options("sample.options", config.sample.options, config.sample.sampler, entry.samplers)


def check_interval(config: Config) -> None:
    """Raise UserError unless an interval of guidance holds levels between 0 and 1."""
    interval = config.sample.guidance_interval
    if interval is not None and not 0 <= interval[0] < interval[1]:
        raise UserError(f"sample.guidance_interval={list(interval)}: give a low and a higher level.")
    if interval is not None and interval[0] >= 1:
        raise UserError(f"sample.guidance_interval={list(interval)}: levels of process={config.process} are 0 to 1.")


def check_schedule(key: str, name: str, options: Mapping[str, Any]) -> None:
    """Raise UserError unless a schedule rises from exactly 0 to exactly 1.

    Arguments:
        key: Key of the schedule, for messages.
        name: Its name.
        options: Its options.
    """
    schedule = LEVEL_SCHEDULES[name]
    times = torch.linspace(0, 1, 65, dtype=torch.float64)
    levels = attempt(f"{key}_options", lambda: schedule(times, **options))
    if levels[0] != 0 or levels[-1] != 1 or not bool((levels.diff() > 0).all()):
        raise UserError(
            f"{key}={name}, {key}_options={dict(options)}: its levels should rise from 0 to 1, and go from "
            f"{levels[0]:g} to {levels[-1]:g}."
        )
    attempt(f"{key}_options", lambda: slopes(lambda t: schedule(t, **options), times[1:-1]))


def check_strength(strength: float) -> None:
    """Raise UserError unless the time at which variations begin is above 0 and at most 1."""
    if not 0 < strength <= 1:
        raise UserError(f"vary: strength={strength:g}: must be above 0 and at most 1.")


def check_unrepeated(process: str, resample: int) -> None:
    """Raise UserError if segments of an inpainting plan are to be repeated, which no process of parts does."""
    if resample != 1:
        raise UserError(f"process={process} has no repeated segments. Leave out resample.")


def check_absent(config: Config) -> None:
    """Raise UserError for features that a process of parts does not have."""
    check_objective(config)  # first, since an objective sets other keys
    for key in ("self_condition", "step_size", "variance"):
        if getattr(config.backbone, key, False):
            raise UserError(f"backbone.{key}=true: only process=gaussian has it, not process={config.process}.")
    if config.codec is not None:
        raise UserError(f"process={config.process} works on the states of data, not on codes. Leave out codec.")
    if config.sample.guidance_method != "cfg":
        method = shortened(config.sample.guidance_method)
        raise UserError(f"sample.guidance_method={method}: process={config.process} has cfg alone.")


def check_objective(config: Config) -> None:
    """Raise UserError if the objective is another one than denoising, by which processes of parts are trained."""
    objective, usual = config.loss.objective, LossConfig().objective
    if objective != usual:
        check_chosen(config.model_dump(), {"loss.objective": OBJECTIVES})
        raise UserError(
            f"loss.objective={objective}: only process=gaussian has it. process={config.process} has {usual} alone, so "
            "leave out loss.objective."
        )
