"""Resolving a configuration: domain defaults < preset < files < Python arguments < command line.

Each layer is a mapping with nested or dotted keys (`polydiff.config.layers`). `resolve` merges the layers key by key
and records the source of every value. The pydantic model of the chosen domain, with the section of the chosen backbone,
then validates the result once. Only values from the command line are parsed; values from Python keep their types.

Nothing here imports torch. `polydiff.gaussian.process.checks` checks the names and options of a resolved configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from pydantic import BaseModel, ValidationError, create_model

from polydiff.config.keys import ARGUMENTS, CommandLineValue, explain, leaves
from polydiff.config.layers import Layer, assignments, last
from polydiff.config.objective_defaults import with_chosen_defaults
from polydiff.contract.backbone import backbone_config_class, load_backbone_spec
from polydiff.contract.discover import domain_config_class, load_domain_spec
from polydiff.contract.sections.run import Config
from polydiff.contract.spec import DomainSpec
from polydiff.support.errors import UserError, as_mapping, nearest, path_list, unknown
from polydiff.support.nested import get_nested, nest
from polydiff.support.yaml_text import plain, read_yaml

COMMAND_LINE = "command line"
FOLLOWS = "follows from "
"""Beginning of the source of a default that follows from another key."""


class Settings(NamedTuple):
    """A configuration with the source of every value.

    Attributes:
        config: Every value.
        provenance: Dotted key -> "default", "preset quick", "file my.yaml", "arguments", "command line", "data" or
            "follows from data.size".
        user_values: The domain and all that the layers above the preset set, as nested mappings that a config file can
            hold.
    """

    config: Config
    provenance: dict[str, str]
    user_values: dict[str, Any]


def resolve(
    domain: str | None = None,
    preset: str | None = None,
    files: Sequence[Path] = (),
    words: Mapping[str, str] | None = None,
    values: Mapping[str, Any] | None = None,
) -> Settings:
    """Return the configuration that results from a domain, a preset, files, values and command-line words.

    Arguments:
        domain: Name of the domain; None: `files`, `values` or `words` name it.
        preset: Name of the preset; None: as `files`, `values` or `words` name it, or the first one of the domain.
        files: YAML files; a later file overrides an earlier one. A relative path of a run in a file is that of a run in
            the folder of the file, if there is one, else in the current folder.
        words: Dotted key -> value as typed on the command line, read as the type of its key; None: there is no command
            line, so `domain` and `preset` count as Python arguments.
        values: Nested or dotted key -> value from Python. A value is never parsed: "yes" and "1e-3" stay text. Tuples,
            paths, and numbers and arrays of numpy become the lists, text and numbers that a config file can hold.

    Raises:
        UserError: A key does not exist, or a value is not of its key's type; the message names the source.
    """
    chosen = {key: value for key, value in {"domain": domain, "preset": preset}.items() if value is not None}
    typed = {key: CommandLineValue(value) for key, value in (words or {}).items()}
    given = {key: plain(value, key) for key, value in as_mapping("values", values).items()}
    user = [
        Layer(f"file {path}", read_yaml(path), path.expanduser().parent.resolve()) for path in path_list("files", files)
    ]
    user.append(Layer(ARGUMENTS, given | (chosen if words is None else {})))
    user.append(Layer(COMMAND_LINE, typed | ({} if words is None else chosen)))
    for key, value in chosen.items():
        check_same_choice(key, value, (typed if words is not None else {}).get(key, given.get(key)))
    return resolve_layers(user, [*typed, *given])


def resolve_layers(user: Sequence[Layer], keys: Iterable[str] = ()) -> Settings:
    """Return the configuration that results from layers above the preset.

    Arguments:
        user: The layers, which name the domain and may name the preset; a later layer overrides an earlier one.
        keys: Keys among which a misspelt "domain" is looked for.

    Raises:
        UserError: As in `resolve`.
    """
    spec = load_domain_spec(str(last(user, "domain") or raise_missing_domain(keys)))
    name = str(last(user, "preset") or next(iter(spec.presets)))
    if name not in spec.presets:
        if name in spec.pipelines:
            raise UserError(
                f"The preset {name} of {spec.name} is a pipeline of several runs. "
                f"Train it with `polydiff train --domain {spec.name} --preset {name}`."
            )
        raise unknown(f"preset of {spec.name}", name, (*spec.presets, *spec.pipelines))
    preset = Layer(f"preset {name}", spec.presets[name])
    process = last([preset], "process")  # so that the defaults of the preset's process give way to those of another one
    chosen = [] if process is None else [Layer(preset.source, {"process": process})]
    layers = with_chosen_defaults([Layer("default", {"preset": name}), *chosen, *user], spec.learns)
    return with_following(merge(spec, preset, layers))


def with_following(settings: Settings) -> Settings:
    """Return settings with the defaults that follow from other keys (`Config.following`).

    Those of one section belong together: they are left out if the user set any of them.
    """
    free, provenance = free_keys(settings.provenance), dict(settings.provenance)
    values: dict[str, Any] = {}
    for key, found in settings.config.following().items():
        for section in {name.partition(".")[0] for name in found}:
            part = {name: value for name, value in found.items() if name.partition(".")[0] == section}
            if part.keys() <= free:
                values |= part
                provenance |= dict.fromkeys(part, f"{FOLLOWS}{key}")
    try:
        return settings._replace(config=replaced(settings.config, values), provenance=provenance)
    except ValidationError as error:  # one of them contradicts a value of the user
        raise UserError(explain(error, provenance)) from error


def free_keys(provenance: Mapping[str, str]) -> set[str]:
    """Return the keys whose values come from defaults, presets or other keys, and not from the user."""
    return {key for key, source in provenance.items() if source == "default" or source.startswith(("preset ", FOLLOWS))}


def replaced(config: Config, values: Mapping[str, Any]) -> Config:
    """Return a configuration with other values, dotted key -> value, validated."""
    state = config.model_dump()
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        (state[section] if section else state)[name] = value
    return type(config).model_validate(state) if values else config


def check_same_choice(key: str, value: str, again: Any) -> None:
    """Raise UserError if the domain or the preset is given twice, and differently.

    Arguments:
        key: "domain" or "preset".
        value: Its value as an option or as an argument of its own.
        again: Its value among the configuration keys; None: not given.
    """
    if again is not None and str(again) != value:
        raise UserError(f"The {key} is given twice: {value} and {key}={again}. Give one of them.")


def merge(spec: DomainSpec, preset: Layer, user: Sequence[Layer]) -> Settings:
    """Return the configuration of a domain from its defaults, a preset and the user's layers.

    Arguments:
        spec: The domain.
        preset: Layer of the preset. Its keys of `backbone` are ignored if the user chooses another backbone.
        user: Layers above the preset; a later layer overrides an earlier one.

    Raises:
        UserError: A key does not exist, or a value is not of its key's type; the message names the source.
    """
    cls = domain_config_class(spec)
    own = default_sections(cls)["backbone"].name
    chosen = str(last([preset, *user], "backbone.name") or own)
    if chosen != (last([preset], "backbone.name") or own):
        preset = without_backbone(preset)  # its keys belong to another network than the chosen one
    model = concrete(cls, chosen)
    fields = leaves(model)
    values = model.model_validate({}).model_dump()
    state = {key: get_nested(values, key) for key in fields}
    provenance = dict.fromkeys(fields, "default")
    set_by_user = {"domain"}
    for layer in (preset, *user):
        update = assignments(layer, fields, state)
        state |= update
        provenance |= dict.fromkeys(update, layer.source)
        set_by_user |= set(update) if layer.source not in (preset.source, "default") else set()
    state["domain"] = spec.name
    try:
        config = model.model_validate(nest(state))
    except ValidationError as error:
        raise UserError(explain(error, provenance)) from error
    as_json = config.model_dump(mode="json")
    return Settings(config, provenance, nest({key: get_nested(as_json, key) for key in fields if key in set_by_user}))


def default_sections(cls: type[Config]) -> dict[str, Any]:
    """Return the default sections of a domain's config class, by name."""
    values = {name: field.get_default(call_default_factory=True) for name, field in cls.model_fields.items()}
    return {name: value for name, value in values.items() if isinstance(value, BaseModel)}


@cache
def concrete(cls: type[Config], backbone: str) -> type[Config]:
    """Return a domain's config class with the section of a backbone, and each other section of its default's class.

    A class may declare `data: DataConfig = MyData()`; the keys are then those of MyData. Equal arguments give the same
    class.
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
    """Return a preset without its keys of the section `backbone`."""
    return preset._replace(values={k: v for k, v in preset.values.items() if k.partition(".")[0] != "backbone"})


def raise_missing_domain(keys: Iterable[str]) -> NoReturn:
    """Raise the `UserError` for a request without a domain; it points out a key that resembles "domain"."""
    near = next((key for key in keys if nearest(key, ["domain"], cutoff=0.6)), None)
    slip = f" Unknown key {near!r}: did you mean 'domain'?" if near else ""
    raise UserError(f"Which domain?{slip} Add --domain NAME; `polydiff domains list` shows the names.")
