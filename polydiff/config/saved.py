"""Configurations on disk: reading one back, and writing one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel

from polydiff.config.keys import leaves
from polydiff.config.layers import Layer, last
from polydiff.config.merge import concrete, default_sections, merge
from polydiff.contract.discover import domain_config_class, load_domain_spec, provider
from polydiff.contract.sections.base import Section
from polydiff.contract.sections.run import Config
from polydiff.support.errors import UserError, printable
from polydiff.support.nested import get_dotted
from polydiff.support.yaml_text import dump_yaml


def config_from(values: Mapping[str, Any], source: str = "The saved configuration") -> Config:
    """Return the configuration that `model_dump` or `resolved_text` wrote. No preset is applied.

    Arguments:
        values: Every value, as nested mappings or dotted keys.
        source: Name of the file or checkpoint, for messages.

    Raises:
        UserError: The domain is missing, or a key or a value is wrong.
    """
    name = last([Layer(source, values)], "domain")
    if name is None:
        raise UserError(f"{source} does not name its domain. Add a line such as 'domain: image'.")
    spec = load_domain_spec(str(name))
    chosen = str(get_dotted(values, "backbone.name") or default_sections(domain_config_class(spec))["backbone"].name)
    layer = Layer(source, without_idle(values, domain_config_class(spec)))
    defaults = Layer("preset", section_defaults(concrete(domain_config_class(spec), chosen)))
    return merge(spec, defaults, [layer]).config


def without_idle(values: Mapping[str, Any], model: type[Config]) -> dict[str, Any]:
    """Return saved values without those that had no effect, and are no longer allowed (`Section.idle`).

    Arguments:
        values: Every value, as nested mappings or dotted keys.
        model: The configuration's class.
    """
    idle = {
        f"{name}.{key}"
        for name, section in default_sections(model).items()
        if isinstance(section, Section)
        for key in section.idle({key: get_dotted(values, f"{name}.{key}") for key in type(section).model_fields})
    }
    return without(values, idle) if idle else dict(values)


def without(values: Mapping[str, Any], keys: Collection[str], prefix: str = "") -> dict[str, Any]:
    """Return nested or dotted values without those of some dotted keys, and all within them.

    Arguments:
        values: The values.
        keys: Dotted keys.
        prefix: Dotted path of the values, such as "data."; "": they are those of a whole configuration.
    """
    kept = {
        name: value
        for name, value in values.items()
        if not any(f"{prefix}{name}.".startswith(f"{key}.") for key in keys)
    }
    return {
        name: without(value, keys, f"{prefix}{name}.") if isinstance(value, Mapping) else value
        for name, value in kept.items()
    }


def plugins_of(config: Config) -> dict[str, str]:
    """Return the third parties' packages, with versions, of the domain and the backbone of a configuration, by kind."""
    found = {kind: provider(kind, name) for kind, name in chosen_plugins(config.model_dump()).items()}
    return {kind: package for kind, package in found.items() if package and not package.startswith("polydiff ")}


def chosen_plugins(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of the domain and the backbone in saved values, by kind of plugin."""
    names = {kind: get_dotted(values, key) for kind, key in (("domain", "domain"), ("backbone", "backbone.name"))}
    return {kind: str(name) for kind, name in names.items() if name is not None}


def config_of_state(state: Mapping[str, Any], source: str) -> Config:
    """Return the configuration in the state of a checkpoint.

    Arguments:
        state: Contents of its state.json.
        source: Its path, for messages.

    Raises:
        UserError: A plugin is not installed (the message names its package), or a key or a value is wrong.
    """
    packages = state.get("plugins", {})
    for kind, name in chosen_plugins(state["config"]).items():
        if kind in packages and not provider(kind, name):
            raise UserError(
                f"{source} was trained with the {kind} {name!r} of the package {printable(packages[kind])}, which "
                "is not installed here. Install it."
            )
    return config_from(state["config"], source)


def section_defaults(model: type[Config]) -> dict[str, Any]:
    """Return the defaults of the sections' own classes, which a saved configuration takes for keys that it lacks.

    A key may be newer than the saved configuration. The default of its class, or the value in `Section.before`, keeps
    the behaviour from before the key existed. A domain can have another default for it, which is meant for new runs.
    """
    found = {
        f"{name}.{key}": type(section).before.get(key, field.get_default(call_default_factory=True))
        for name, section in default_sections(model).items()
        if isinstance(section, Section)
        for key, field in type(section).model_fields.items()
        if not field.is_required()
    }
    return {key: dumped_before(value) if isinstance(value, BaseModel) else value for key, value in found.items()}


def dumped_before(section: BaseModel) -> dict[str, Any]:
    """Return the values of a section within a section, with those from before its newer keys (`Section.before`)."""
    inner = {name: value for name in type(section).model_fields if isinstance(value := getattr(section, name), Section)}
    own = type(section).before if isinstance(section, Section) else {}
    return {**section.model_dump(), **own, **{name: dumped_before(value) for name, value in inner.items()}}


def resolved_text(config: Config, provenance: Mapping[str, str]) -> str:
    """Return every value as YAML, with its source as a comment (`provenance`: dotted key -> source)."""
    comments = dict.fromkeys(leaves(type(config)), "") | dict(provenance)
    return dump_yaml(config.model_dump(mode="json"), comments)
