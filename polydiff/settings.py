"""From what the user said to a whole config: domain default < preset < files < command line.

Each layer is a mapping with nested or dotted keys. The layers are merged key by key, which keeps for every key where
its value came from, and the result is validated once, by the pydantic model of the chosen domain with the section of
the chosen backbone. Nothing here imports torch, except `check_names`.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError, create_model

from polydiff.config import SUITED, Config, SampleConfig
from polydiff.domain import DomainSpec
from polydiff.errors import UserError, unknown
from polydiff.keys import Fields, Word, dig, explain, keys_of, kinds, leaves, lookup, nest, read_word, unknown_key
from polydiff.plugins import backbone_config_class, domain_config_class, load_backbone_spec, load_domain_spec
from polydiff.registry import Registry
from polydiff.yamltext import dump_yaml, parse_yaml, read_yaml

if TYPE_CHECKING:
    from polydiff.guidance import Method
    from polydiff.sampling import Row
    from polydiff.schedule import Schedule

Model = TypeVar("Model", bound=BaseModel)
COMMAND_LINE = "command line"
OPTIONS_OF = {
    "schedule": "schedule_options",
    "loss.objective": "loss.objective_options",
    "loss.norm": "loss.norm_options",
    "loss.weighting": "loss.weighting_options",
    "loss.times": "loss.times_options",
    "sample.sampler": "sample.options",
    "sample.spacing": "sample.spacing_options",
    "sample.guidance_method": "sample.guidance_options",
}
"""Key of a name -> key of its options. A layer that changes the name leaves the options of the old one behind."""


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


class Layer(NamedTuple):
    """What one source says.

    Attributes:
        source: "preset quick", "file my.yaml" or "command line".
        values: Nested or dotted keys and their values.
    """

    source: str
    values: Mapping[str, Any]


class Settings(NamedTuple):
    """A config, and how it came about.

    Attributes:
        config: Every value.
        provenance: Dotted key -> "default", "preset quick", "file my.yaml" or "command line".
        said: What the user said, as a mapping that a config file could hold.
    """

    config: Config
    provenance: dict[str, str]
    said: dict[str, Any]


def resolve(
    domain: str | None = None,
    preset: str | None = None,
    files: Sequence[Path] = (),
    words: Mapping[str, str] | None = None,
) -> Settings:
    """Return the config that the user's choices, files and words amount to.

    Arguments:
        domain: Name of the domain; None: a file or a word says it.
        preset: Name of the preset; None: as a file or a word says, or the domain's first.
        files: YAML files; what a later one says counts.
        words: Dotted key -> value as typed.
    """
    chosen = {key: value for key, value in {"domain": domain, "preset": preset}.items() if value is not None}
    typed = {key: Word(value) for key, value in (words or {}).items()}
    user = [Layer(f"file {path}", read_yaml(path)) for path in files] + [Layer(COMMAND_LINE, typed | chosen)]
    spec = load_domain_spec(str(last(user, "domain") or missing_domain(typed)))
    name = str(last(user, "preset") or next(iter(spec.presets)))
    if name not in spec.presets:
        raise unknown(f"preset of {spec.name}", name, spec.presets)
    return merge(spec, Layer(f"preset {name}", spec.presets[name]), suited([Layer("default", {"preset": name}), *user]))


def suited(layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers with what suits the objective (`SUITED`) before the last that names one.

    Where that changes the objective of an earlier layer, such as a run's config.resolved.yaml, what suited the old one
    goes with it.
    """
    named = [i for i, layer in enumerate(layers) if lookup(layer.values, "loss.objective") is not None]
    if not named:
        return list(layers)
    before, rest = list(layers[: named[-1]]), layers[named[-1] :]
    objective, old = (str(last(part, "loss.objective")) for part in (rest[:1], before))
    if old != objective:
        before = [layer._replace(values=without_suited(layer.values, old)) for layer in before]
    return [*before, Layer(f"objective {objective}", SUITED.get(objective, {})), *rest]


def without_suited(values: Mapping[str, Any], objective: str) -> dict[str, Any]:
    """Return what a layer says without what is as `SUITED` has it for an objective, nor options of such names."""
    gone = [key for key, value in SUITED.get(objective, {}).items() if lookup(values, key) == value]
    gone += [OPTIONS_OF[key] for key in gone if key in OPTIONS_OF]
    return without_keys(values, gone)


def without_keys(values: Mapping[str, Any], gone: Collection[str], prefix: str = "") -> dict[str, Any]:
    """Return nested or dotted keys and their values without some keys, and without the options of these."""
    left = {}
    for name, value in values.items():
        key = f"{prefix}{name}"
        if key in gone or key.rpartition(".")[0] in gone:
            continue
        inside = isinstance(value, Mapping) and any(other.startswith(f"{key}.") for other in gone)
        left[name] = without_keys(value, gone, f"{key}.") if inside else value
    return left


def config_from(values: Mapping[str, Any], source: str = "The saved configuration") -> Config:
    """Return the config that `model_dump` or `resolved_text` wrote; no preset is applied."""
    layer = Layer(source, values)
    name = last([layer], "domain")
    if name is None:
        raise UserError(f"{source} does not say its domain.")
    return merge(load_domain_spec(str(name)), Layer("preset", {}), [layer]).config


def read_config(path: Path) -> Config:
    """Return the config that a config.resolved.yaml holds."""
    return config_from(read_yaml(path), str(path))


def resolved_text(config: Config, provenance: Mapping[str, str]) -> str:
    """Return every value as YAML, each with where it came from as a comment."""
    comments = dict.fromkeys(leaves(type(config)), "") | dict(provenance)
    return dump_yaml(config.model_dump(mode="json"), comments)


def checked(model: type[Model], values: Mapping[str, Any], prefix: str = "") -> Model:
    """Return a section with these values; a wrong one is a `UserError`."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise UserError(explain(error, {}, prefix)) from error


def merge(spec: DomainSpec, preset: Layer, user: Sequence[Layer]) -> Settings:
    """Return the config of a domain from its defaults, a preset and what the user said."""
    cls = domain_config_class(spec)
    own = default_sections(cls)["backbone"].name
    chosen = str(last([preset, *user], "backbone.name") or own)
    if chosen != (last([preset], "backbone.name") or own):
        preset = without_backbone(preset)  # it speaks of another network than the user chose
    model = concrete(cls, chosen)
    fields = leaves(model)
    values = model.model_validate({}).model_dump()
    state = {key: dig(values, key) for key in fields}
    provenance = dict.fromkeys(fields, "default")
    said = {"domain"}
    for layer in (preset, *user):
        update = assignments(layer, fields, state)
        state |= update
        provenance |= dict.fromkeys(update, layer.source)
        said |= set(update) if layer.source not in (preset.source, "default") else set()
    state["domain"] = spec.name
    try:
        config = model.model_validate(nest(state))
    except ValidationError as error:
        raise UserError(explain(error, provenance)) from error
    plain = config.model_dump(mode="json")
    return Settings(config, provenance, nest({key: dig(plain, key) for key in fields if key in said}))


def default_sections(cls: type[Config]) -> dict[str, Any]:
    """Return the sections that a domain has of itself."""
    values = {name: field.get_default(call_default_factory=True) for name, field in cls.model_fields.items()}
    return {name: value for name, value in values.items() if isinstance(value, BaseModel)}


@cache
def concrete(cls: type[Config], backbone: str) -> type[Config]:
    """Return a domain's config class with the section of a backbone, and every section of its default's own class.

    A class may declare `data: DataConfig = MyData()`; keys are those of MyData. The same arguments give the same class.
    """
    sections = default_sections(cls)
    if backbone != sections["backbone"].name:
        sections["backbone"] = backbone_config_class(load_backbone_spec(backbone)).model_validate({})
    narrowed: dict[str, Any] = {
        name: (type(section), section)
        for name, section in sections.items()
        if cls.model_fields[name].annotation is not type(section)
    }
    return create_model(cls.__name__, __base__=cls, __module__=cls.__module__, **narrowed) if narrowed else cls


def without_backbone(preset: Layer) -> Layer:
    """Return a preset without its words on the backbone."""
    return preset._replace(values={k: v for k, v in preset.values.items() if k.partition(".")[0] != "backbone"})


def assignments(layer: Layer, fields: Fields, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a layer sets, by dotted key; one option (loss.times_options.mean) joins those that stand."""
    told = list(walk(layer, fields, layer.values))
    renamed = (key for key, option, value in told if not option and key in OPTIONS_OF and value != state[key])
    update: dict[str, Any] = {OPTIONS_OF[key]: {} for key in renamed}
    for key, option, value in told:
        update[key] = {**update.get(key, state[key]), option: value} if option else value
    return update


def walk(layer: Layer, fields: Fields, values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield (dotted key, option or "", value) for all that a layer says."""
    for name, value in values.items():
        key = prefix + str(name).replace("-", "_")
        parent, _, option = key.rpartition(".")
        if key in fields:
            yield key, "", read_word(value, fields[key].annotation, key)
        elif any(other.startswith(f"{key}.") for other in fields):
            section = parse_yaml(value, key) if isinstance(value, Word) else value
            if not isinstance(section, Mapping):
                raise UserError(f"{key}={value} ({layer.source}): {key} is a section. {keys_of(key, fields)}")
            yield from walk(layer, fields, section, f"{key}.")
        elif parent in fields and dict in kinds(fields[parent].annotation):
            yield parent, option, parse_yaml(value, key) if isinstance(value, Word) else value
        else:
            raise UserError(unknown_key(key, layer.source, fields))


def last(layers: Sequence[Layer], key: str) -> Any:
    """Return what the last layer that speaks of a key says, or None."""
    return next((value for layer in reversed(layers) if (value := lookup(layer.values, key)) is not None), None)


def missing_domain(words: Mapping[str, str]) -> str:
    """Raise the error for a command that names no domain."""
    near = next((key for key in words if difflib.get_close_matches(key, ["domain"])), None)
    slip = f" Unknown key {near!r}: did you mean 'domain'?" if near else ""
    raise UserError(f"Which domain?{slip} Say --domain NAME; `polydiff domains list` shows them.")


def check_names(config: Config) -> None:
    """Refuse names, and options of names, that the core does not know. This imports torch."""
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
            raise UserError(f"{key}: {unknown(registry.kind, name, registry)}")
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
    from polydiff.sampling import plan
    from polydiff.schedule import SCHEDULES
    from polydiff.space import Euclidean

    loss, ones, u = config.loss, torch.ones(2), torch.tensor([0.3, 0.7], dtype=torch.float64)
    schedule = attempt("schedule_options", lambda: SCHEDULES[config.schedule](**config.schedule_options))
    if not 0 < schedule.sigma_min < schedule.sigma_max < float("inf"):
        raise UserError("schedule_options: noise levels must rise, with 0 < sigma_min < sigma_max.")
    if config.schedule_options.get("zero_terminal_snr") and config.target in ("eps", "score"):
        raise UserError(
            f"target={config.target} says nothing of the data where there is noise alone, as at the end of a schedule "
            "with zero_terminal_snr. Use target=v, edm, flow or x0."
        )
    falling = attempt("schedule_options", lambda: -schedule.log_snr(torch.linspace(0.1, 0.9, 5, dtype=torch.float64)))
    if not bool((falling.diff() > 0).all()):
        raise UserError(f"schedule_options={config.schedule_options}: noise must rise with time.")
    attempt("schedule_options", lambda: plan(schedule, 3))
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
        sound = (torch.isfinite(result) & (result >= 0)).all() and (name != "times" or result.diff() >= 0)
        if not bool(sound):
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
        raise UserError(f"{key}={value}: should be {name}.")
