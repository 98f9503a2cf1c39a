"""Checks of a configuration of a Gaussian process: its names, its options and their values.

A configuration holds names as text. The names are those of the registries, and to import a registry imports torch. So
these checks are not in `polydiff.config.merge`, and they import the registries when they are called.
"""

from __future__ import annotations

from typing import Any

from polydiff.contract.backbone import check_role
from polydiff.contract.names import check_chosen
from polydiff.contract.sections.run import Config
from polydiff.contract.sections.sampling import SampleConfig
from polydiff.core.registry import Registry
from polydiff.support.errors import UserError, attempt
from polydiff.support.nested import get_dotted


def registries() -> dict[str, Registry[Any]]:
    """Return the keys whose values are names, besides those of the section `sample`, with the registries of these."""
    from polydiff.gaussian.loss.noise_levels import TIMES
    from polydiff.gaussian.loss.norms import NORMS
    from polydiff.gaussian.loss.weightings import WEIGHTINGS
    from polydiff.gaussian.objective.base import OBJECTIVES
    from polydiff.gaussian.schedule.base import SCHEDULES
    from polydiff.gaussian.target import TARGETS

    return {
        "schedule": SCHEDULES,
        "target": TARGETS,
        "loss.objective": OBJECTIVES,
        "loss.norm": NORMS,
        "loss.weighting": WEIGHTINGS,
        "loss.times": TIMES,
    }


def sampling_registries() -> dict[str, Registry[Any]]:
    """Return the keys of the section `sample` whose values are names, with the registries of these."""
    from polydiff.gaussian.guidance.method import GUIDANCE
    from polydiff.gaussian.sampling.plan import SAMPLERS
    from polydiff.gaussian.sampling.spacing import SPACINGS

    return {"sample.sampler": SAMPLERS, "sample.spacing": SPACINGS, "sample.guidance_method": GUIDANCE}


def check_names(config: Config) -> None:
    """Raise UserError unless all names and options of a configuration exist and are compatible."""
    check_chosen(config.model_dump(), registries())
    check_role(config.backbone.name, "denoiser", "learn=denoise")
    check_sampling(config, config.sample)
    check_abilities(config)
    try_options(config)
    check_learned_schedule(config)


def check_sampling(config: Config, how: SampleConfig) -> None:
    """Raise UserError if a name or an option of sampling does not exist, or does not suit the configuration."""
    check_chosen({**config.model_dump(), "sample": how.model_dump()}, sampling_registries())


def check_abilities(config: Config) -> None:
    """Raise UserError if the network has an ability that the objective does not train."""
    from polydiff.gaussian.objective.base import OBJECTIVES

    objectives: dict[str, list[str]] = {}
    for name in OBJECTIVES.loaded():
        for key in getattr(OBJECTIVES[name], "teaches", ()):
            objectives.setdefault(key, []).append(name)
    values, objective = config.model_dump(), config.loss.objective
    for key, names in objectives.items():
        if get_dotted(values, key) and objective not in names:
            raise UserError(f"{key}=true: only loss.objective={' or '.join(names)} trains it, not {objective}.")


def check_learned_schedule(config: Config) -> None:
    """Raise UserError if the schedule is a learned one and the objective does not train it."""
    from torch import nn

    from polydiff.gaussian.loss.base import Loss
    from polydiff.gaussian.loss.noise_levels import TIMES
    from polydiff.gaussian.loss.weightings import WEIGHTINGS
    from polydiff.gaussian.objective.base import OBJECTIVES, build_objective
    from polydiff.gaussian.schedule.base import SCHEDULES

    schedule, loss = SCHEDULES[config.schedule](**config.schedule_options), config.loss
    if not isinstance(schedule, nn.Module) or getattr(build_objective(config), "trains_schedule", False):
        return
    pairs = [(t, w) for t in TIMES for w in WEIGHTINGS if Loss(times=t, weighting=w).trains_schedule]
    trained = [
        name
        for name in OBJECTIVES
        if getattr(OBJECTIVES[name](Loss(times=pairs[0][0], weighting=pairs[0][1])), "trains_schedule", False)
    ]
    times, weightings = (" or ".join(dict.fromkeys(names)) for names in zip(*pairs, strict=True))
    raise UserError(
        f"schedule={config.schedule} is trained only by loss.objective={' or '.join(trained)} with loss.times={times} "
        f"and loss.weighting={weightings}; loss.objective={loss.objective} with loss.times={loss.times} and "
        f"loss.weighting={loss.weighting} would leave it untrained. Use the former, or another schedule."
    )


def predicts_variance(config: Config) -> bool:
    """Return whether the network predicts the variance of a step."""
    return bool(getattr(config.backbone, "variance", False))


def try_options(config: Config) -> None:
    """Raise UserError if the value of an option is wrong: build each component and call it once on two numbers."""
    import torch

    from polydiff.core.space import Euclidean
    from polydiff.gaussian.loss.base import Loss
    from polydiff.gaussian.loss.noise_levels import TIMES
    from polydiff.gaussian.loss.norms import NORMS
    from polydiff.gaussian.loss.weightings import WEIGHTINGS
    from polydiff.gaussian.objective.base import OBJECTIVES
    from polydiff.gaussian.process.try_sampling import try_guidance, try_plan
    from polydiff.gaussian.schedule.base import SCHEDULES, checked

    loss, ones, u = config.loss, torch.ones(2), torch.tensor([0.3, 0.7], dtype=torch.float64)
    schedule = attempt("schedule_options", lambda: SCHEDULES[config.schedule](**config.schedule_options))
    attempt(f"schedule_options={config.schedule_options}", lambda: checked(schedule, config.schedule))
    try_guidance(config.sample, try_plan(config.sample, schedule)[1], schedule)
    attempt("loss.objective_options", lambda: OBJECTIVES[loss.objective](Loss(), **loss.objective_options))
    attempt("loss.times_options", lambda: Loss(times=loss.times, times_options=loss.times_options).aids())
    options = loss.weighting_options
    attempt("loss.weighting_options", lambda: Loss(weighting=loss.weighting, weighting_options=options).aids())
    tried = {
        "norm": lambda: NORMS[loss.norm](ones[:, None], Euclidean(2, (1,)), **loss.norm_options),
        "weighting": lambda: WEIGHTINGS[loss.weighting](ones, ones, 1.0, **loss.weighting_options),
        "times": lambda: TIMES[loss.times](u, schedule, **loss.times_options),
    }
    for name, use in tried.items():
        result = attempt(f"loss.{name}_options", use)
        if not isinstance(result, torch.Tensor):
            chosen = getattr(loss, name)
            raise UserError(f"loss.{name}={chosen}: it returns a {type(result).__name__}, and should return a tensor.")
        useful = (torch.isfinite(result) & (result >= 0)).all() and (name != "times" or result.diff() >= 0)
        if not bool(useful):
            given = getattr(loss, f"{name}_options")
            raise UserError(
                f"loss.{name}_options={given}: gives {result.tolist()}, which is of no use as a {name}. "
                "Use other options."
            )
