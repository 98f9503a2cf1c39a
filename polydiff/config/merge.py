"""From what the user said to a whole config: domain default < preset < files < Python arguments < command line.

Each layer is a mapping with nested or dotted keys. The layers are merged key by key, which keeps for every key where
its value came from, and the result is validated once, by the pydantic model of the chosen domain with the section of
the chosen backbone. Only the words of the command line are parsed; values from Python stay values. Nothing here imports
torch; `polydiff.gaussian.process.checks` tries what a config names.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError, create_model

from polydiff.config.keys import ARGUMENTS, Fields, Word, explain, keys_of, kinds, leaves, read_word, unknown_key
from polydiff.contract.backbone import backbone_config_class, load_backbone_spec
from polydiff.contract.discover import domain_config_class, load_domain_spec
from polydiff.contract.domain import DomainSpec
from polydiff.contract.sections import OPTIONS_OF, Config, LossConfig
from polydiff.support.errors import UserError, unknown
from polydiff.support.nested import get_dotted, get_nested, nest
from polydiff.support.yaml_text import dump_yaml, parse_yaml, plain, read_yaml

Model = TypeVar("Model", bound=BaseModel)
COMMAND_LINE = "command line"


class Layer(NamedTuple):
    """What one source says.

    Attributes:
        source: "preset quick", "file my.yaml", "arguments" or "command line".
        values: Nested or dotted keys and their values.
    """

    source: str
    values: Mapping[str, Any]


class Settings(NamedTuple):
    """A config, and how it came about.

    Attributes:
        config: Every value.
        provenance: Dotted key -> "default", "preset quick", "file my.yaml", "arguments" or "command line".
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
    values: Mapping[str, Any] | None = None,
) -> Settings:
    """Return the config that the user's choices, files, values and words amount to.

    Arguments:
        domain: Name of the domain; None: a file or a word says it.
        preset: Name of the preset; None: as a file or a word says, or the domain's first.
        files: YAML files; what a later one says counts.
        words: Dotted key -> value as typed on the command line, read as the type of the key demands; None: there is no
            command line, and `domain` and `preset` are arguments too.
        values: Nested or dotted key -> value, from Python. A value is never parsed: "yes" and "1e-3" stay text.
            Tuples, paths, numpy's numbers and arrays become the lists, text and numbers that a config file can hold.

    Raises:
        UserError: A key is unknown, or a value is not of the key's type; the message says where it came from.
    """
    chosen = {key: value for key, value in {"domain": domain, "preset": preset}.items() if value is not None}
    typed = {key: Word(value) for key, value in (words or {}).items()}
    given = {key: plain(value, key) for key, value in (values or {}).items()}
    user = [Layer(f"file {path}", read_yaml(path)) for path in files]
    user.append(Layer(ARGUMENTS, given | (chosen if words is None else {})))
    user.append(Layer(COMMAND_LINE, typed | ({} if words is None else chosen)))
    spec = load_domain_spec(str(last(user, "domain") or missing_domain([*typed, *given])))
    name = str(last(user, "preset") or next(iter(spec.presets)))
    if name not in spec.presets:
        raise unknown(f"preset of {spec.name}", name, spec.presets)
    return merge(spec, Layer(f"preset {name}", spec.presets[name]), suited([Layer("default", {"preset": name}), *user]))


def suits(objective: str) -> Mapping[str, Any]:
    """Return the dotted keys and values that suit an objective, {} for the default one and for an unknown name."""
    if objective == LossConfig().objective:
        return {}  # the registry of objectives takes torch, which most commands do without
    from polydiff.gaussian.objective.base import OBJECTIVES

    return OBJECTIVES[objective].suits if objective in OBJECTIVES else {}


def suited(layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers with what suits the objective (`suits`) before the last that names one.

    Where that changes the objective of an earlier layer, such as a run's config.resolved.yaml, what suited the old one
    goes with it.
    """
    named = [i for i, layer in enumerate(layers) if get_dotted(layer.values, "loss.objective") is not None]
    if not named:
        return list(layers)
    before, rest = list(layers[: named[-1]]), layers[named[-1] :]
    objective, old = (str(last(part, "loss.objective") or LossConfig().objective) for part in (rest[:1], before))
    if old != objective:
        before = [layer._replace(values=without_suited(layer.values, old)) for layer in before]
    return [*before, Layer(f"objective {objective}", suits(objective)), *rest]


def without_suited(values: Mapping[str, Any], objective: str) -> dict[str, Any]:
    """Return what a layer says without what suits an objective, nor options of such names."""
    gone = [key for key, value in suits(objective).items() if get_dotted(values, key) == value]
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
    spec = load_domain_spec(str(name))
    chosen = str(get_dotted(values, "backbone.name") or default_sections(domain_config_class(spec))["backbone"].name)
    unsaid = Layer("preset", unsaid_defaults(concrete(domain_config_class(spec), chosen)))
    return merge(spec, unsaid, [layer]).config


def unsaid_defaults(model: type[Config]) -> dict[str, Any]:
    """Return the sections' own defaults, which a saved configuration takes where it lacks a key.

    A key that is newer than the configuration has the default of its class, under which all is as before there was the
    key; a domain's default may be another, and is meant for new runs.
    """
    found = {
        f"{name}.{key}": field.get_default(call_default_factory=True)
        for name, section in default_sections(model).items()
        for key, field in type(section).model_fields.items()
        if not field.is_required()
    }
    return {key: value.model_dump() if isinstance(value, BaseModel) else value for key, value in found.items()}


def resolved_text(config: Config, provenance: Mapping[str, str]) -> str:
    """Return every value as YAML, each with where it came from as a comment."""
    comments = dict.fromkeys(leaves(type(config)), "") | dict(provenance)
    return dump_yaml(config.model_dump(mode="json"), comments)


def checked(model: type[Model], values: Mapping[str, Any], prefix: str = "") -> Model:
    """Return a section with these values, given in Python; a wrong one is a `UserError`."""
    try:
        return model.model_validate({key: plain(value, f"{prefix}{key}") for key, value in values.items()})
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
    state = {key: get_nested(values, key) for key in fields}
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
    return Settings(config, provenance, nest({key: get_nested(plain, key) for key in fields if key in said}))


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
    return next((value for layer in reversed(layers) if (value := get_dotted(layer.values, key)) is not None), None)


def missing_domain(keys: Iterable[str]) -> str:
    """Raise the error for a command that names no domain."""
    near = next((key for key in keys if difflib.get_close_matches(key, ["domain"])), None)
    slip = f" Unknown key {near!r}: did you mean 'domain'?" if near else ""
    raise UserError(f"Which domain?{slip} Say --domain NAME; `polydiff domains list` shows them.")
