"""Whether what a config names exists and works: names, options and their values, each tried once on little.

A config says names as words; only the core knows them, and importing it takes torch. So these checks stand apart from
`polydiff.settings`, import the core when they are called, and run before any work is begun.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from polydiff.config import Config, SampleConfig
from polydiff.errors import UserError, unknown
from polydiff.keys import dig
from polydiff.registry import Registry
from polydiff.settings import OPTIONS_OF

if TYPE_CHECKING:
    from polydiff.guidance import Method
    from polydiff.sampling import Row
    from polydiff.schedule import Schedule

GUIDED = {
    "guide": "A guide",
    "negative": "A condition to guide away from",
    "guidance_method": "A method of guidance",
    "guidance_options": "An option of guidance",
    "guidance_interval": "An interval of guidance",
}
"""Key of the section `sample` that only matters where there is guidance -> what it is."""
KINDS: dict[str, tuple[type, str]] = {
    "int": (Integral, "a whole number"),
    "float": (Real, "a number"),
    "str": (str, "a name"),
    "bool": (bool, "true or false"),
}
"""Annotation of an option -> the type of its values, and what they are."""


def check_names(config: Config) -> None:
    """Refuse names, and options of names, that the core does not know."""
    from polydiff.loss import NORMS, TIMES, WEIGHTINGS
    from polydiff.objective import OBJECTIVES
    from polydiff.optim import OPTIMIZERS
    from polydiff.schedule import SCHEDULES
    from polydiff.target import TARGETS

    registries: dict[str, Registry[Any]] = {
        "schedule": SCHEDULES,
        "target": TARGETS,
        "loss.objective": OBJECTIVES,
        "loss.norm": NORMS,
        "loss.weighting": WEIGHTINGS,
        "loss.times": TIMES,
        "optim.name": OPTIMIZERS,
    }
    check_chosen(config.model_dump(), registries)
    check_sampling(config, config.sample)
    check_objective(config)
    try_options(config)
    check_learned(config)


def check_sampling(config: Config, how: SampleConfig) -> None:
    """Refuse names and options of sampling that the core or a configuration's network does not know."""
    from polydiff.guidance import GUIDANCE
    from polydiff.sampling import SAMPLERS, SPACINGS

    registries: dict[str, Registry[Any]] = {
        "sample.sampler": SAMPLERS,
        "sample.spacing": SPACINGS,
        "sample.guidance_method": GUIDANCE,
    }
    check_chosen({"sample": how.model_dump()}, registries)
    check_variance(config, how.options)


def check_chosen(values: Mapping[str, Any], registries: Mapping[str, Registry[Any]]) -> None:
    """Refuse names that their registries do not hold, and options that what they name does not take."""
    for key, registry in registries.items():
        name = dig(values, key)
        if name is None:
            continue
        if name not in registry:
            raise UserError(f"{key}: {registry.unknown(name)}")
        if key in OPTIONS_OF:
            check_options(OPTIONS_OF[key], dig(values, OPTIONS_OF[key]), name, registry)


def check_objective(config: Config) -> None:
    """Refuse a network, target or sampler that the objective cannot use."""
    objective, told = config.loss.objective, config.backbone.step_size
    if objective == "ect" and config.target == "x0":
        raise UserError("loss.objective=ect needs D(x, 0) = x, which target=x0 does not give. Use target=edm.")
    if (objective == "shortcut") != told:
        raise UserError(
            f"loss.objective={objective}, but backbone.step_size={str(told).lower()}: a network is told the size of "
            "steps where, and only where, the objective is shortcut."
        )
    if config.sample.sampler == "shortcut" and not told:
        raise UserError(f"sample.sampler=shortcut needs loss.objective=shortcut, not {objective}.")
    if config.backbone.self_condition and objective != "denoising":
        raise UserError(f"backbone.self_condition=true is taught by loss.objective=denoising, not by {objective}.")
    variance = tells_variance(config)
    if variance and objective not in ("vlb", "hybrid"):
        raise UserError(f"backbone.variance=true: {objective} does not teach it; loss.objective=hybrid and vlb do.")
    if objective == "hybrid" and not variance:
        raise UserError("loss.objective=hybrid teaches the variance of a step: it needs backbone.variance=true.")


def check_learned(config: Config) -> None:
    """Refuse a learned schedule that nothing would train, silently."""
    from torch import nn

    from polydiff.loss import Loss
    from polydiff.schedule import SCHEDULES

    schedule, loss = SCHEDULES[config.schedule](**config.schedule_options), config.loss
    trained = loss.objective == "denoising" and Loss(times=loss.times, weighting=loss.weighting).trains_schedule
    if isinstance(schedule, nn.Module) and not trained:
        raise UserError(
            f"schedule={config.schedule} is trained by loss.objective=denoising with loss.times=uniform and "
            f"loss.weighting=elbo or sigmoid alone; loss.objective={loss.objective} with loss.times={loss.times} and "
            f"loss.weighting={loss.weighting} would leave it as it begins. Say those, or use another schedule."
        )


def tells_variance(config: Config) -> bool:
    """Return whether the network tells the variance of a step."""
    return bool(getattr(config.backbone, "variance", False))


def check_variance(config: Config, options: Mapping[str, Any]) -> None:
    """Refuse a sampler's option variance=learned where the network tells no variance."""
    if options.get("variance") == "learned" and not tells_variance(config):
        raise UserError(
            "variance=learned: this network tells no variance; loss.objective=hybrid trains one that does. "
            "Use variance=small or large."
        )


def try_options(config: Config) -> None:
    """Refuse options of the right name and a wrong value, by using each thing once on little."""
    import torch

    from polydiff.loss import NORMS, TIMES, WEIGHTINGS, Loss
    from polydiff.objective import OBJECTIVES
    from polydiff.schedule import SCHEDULES
    from polydiff.schedule.base import sound
    from polydiff.space import Euclidean

    loss, ones, u = config.loss, torch.ones(2), torch.tensor([0.3, 0.7], dtype=torch.float64)
    schedule = attempt("schedule_options", lambda: SCHEDULES[config.schedule](**config.schedule_options))
    attempt(f"schedule_options={config.schedule_options}", lambda: sound(schedule, config.schedule))
    if config.schedule_options.get("zero_terminal_snr") and config.target in ("eps", "score"):
        raise UserError(
            f"target={config.target} says nothing of the data where there is noise alone, as at the end of a schedule "
            "with zero_terminal_snr. Use target=v, edm, flow or x0."
        )
    try_guidance(config.sample, try_plan(config.sample, schedule), schedule)
    check_guided(config.sample, ("guide", "negative"))
    if config.sample.guide is not None and not config.sample.guide.is_dir():
        raise UserError(f"sample.guide={config.sample.guide}: there is no such run or checkpoint.")
    attempt("loss.objective_options", lambda: OBJECTIVES[loss.objective](Loss(), **loss.objective_options))
    attempt("loss.times_options", lambda: Loss(times=loss.times, times_options=loss.times_options).aids())
    tried = {
        "norm": lambda: NORMS[loss.norm](ones[:, None], Euclidean(2, (1,)), **loss.norm_options),
        "weighting": lambda: WEIGHTINGS[loss.weighting](ones, ones, 1.0, **loss.weighting_options),
        "times": lambda: TIMES[loss.times](u, schedule, **loss.times_options),
    }
    for name, use in tried.items():
        result = attempt(f"loss.{name}_options", use)
        useful = (torch.isfinite(result) & (result >= 0)).all() and (name != "times" or result.diff() >= 0)
        if not bool(useful):
            given = getattr(loss, f"{name}_options")
            raise UserError(f"loss.{name}_options={given}: gives {result.tolist()}, of no use as a {name}.")


def try_plan(how: SampleConfig, schedule: Schedule, **more: Any) -> list[Row]:
    """Return the rows that a section `sample` asks for; `more` are sigma_data and start of `polydiff.sampling.plan`."""
    from polydiff.sampling import plan

    more = {"spacing_options": how.spacing_options, **how.options, **more}
    rows: list[Row] = attempt(
        f"sample.options={how.options}, sample.spacing_options={how.spacing_options}",
        lambda: plan(schedule, how.steps, how.sampler, how.spacing, **more),
    )
    return rows


def try_guidance(how: SampleConfig, rows: Sequence[Row], schedule: Schedule) -> Method:
    """Return the method of guidance that a section `sample` asks for; of no use with these rows: a `UserError`."""
    from polydiff.guidance import GUIDANCE, check_interval

    attempt("sample.guidance_interval", lambda: check_interval(how.guidance_interval, schedule))
    options = how.guidance_options
    method: Method = attempt("sample.guidance", lambda: GUIDANCE[how.guidance_method](how.guidance, rows, **options))
    return method


def check_guided(how: SampleConfig, said: Iterable[str]) -> None:
    """Refuse what was said of guidance, by its keys, where the scale is 1 and there is none."""
    plain = SampleConfig()
    idle = [what for key, what in GUIDED.items() if key in said and getattr(how, key) != getattr(plain, key)]
    if how.guidance == 1 and idle:
        raise UserError(f"{idle[0]} does nothing at guidance 1. Say guidance=2, for instance.")


def attempt(key: str, use: Callable[[], Any]) -> Any:
    """Return what a call gives; what it objects to is the user's mistake in this key."""
    try:
        return use()
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        raise UserError(f"{key}: {error}") from error


def check_options(key: str, options: Mapping[str, Any], name: str, registry: Registry[Any]) -> None:
    """Refuse options that the thing of this name does not take: those of its arguments that have a default."""
    arguments = inspect.signature(registry[name]).parameters.values()
    known = {argument.name: argument.annotation for argument in arguments if argument.default is not argument.empty}
    for option, value in options.items():
        if option not in known:
            raise UserError(f"{key}: {unknown(f'option of the {registry.kind} {name}', str(option), known)}")
        check_kind(f"{key}.{option}", value, known[option])


def check_kind(key: str, value: object, annotation: Any) -> None:
    """Refuse a value that is not of its argument's type, where that is a plain one, and nan."""
    kind = getattr(annotation, "__name__", annotation)
    wanted, name = KINDS.get(kind, (object, ""))
    number = kind in ("int", "float")
    if not isinstance(value, wanted) or (number and (isinstance(value, bool) or value != value)):
        raise UserError(f"{key}={value!r}: should be {name}.")
