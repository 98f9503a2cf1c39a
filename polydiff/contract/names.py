"""Names in a configuration, such as sample.sampler=ddim: each exists, takes its options, and its rules hold."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from polydiff.contract.sections.base import OPTIONS_OF
from polydiff.core.registry import Registry
from polydiff.core.rules import rules_of
from polydiff.support.errors import UserError, unknown
from polydiff.support.nested import get_nested

KINDS: dict[str, tuple[type, str]] = {
    "int": (Integral, "a whole number"),
    "float": (Real, "a number"),
    "str": (str, "a name"),
    "bool": (bool, "true or false"),
}
"""Annotation of an option -> the type of its values, and what they are."""


def check_chosen(values: Mapping[str, Any], registries: Mapping[str, Registry[Any]]) -> None:
    """Raise a `UserError` if a name is in no registry, an option does not exist, or a rule is broken.

    Arguments:
        values: A whole configuration, as nested mappings.
        registries: Dotted key of a name -> what it names.
    """
    chosen = {key: name for key in registries if (name := get_nested(values, key)) is not None}
    for key, name in chosen.items():
        registry = registries[key]
        if name not in registry:
            raise UserError(f"{key}: {registry.unknown(name)}")
        if key in OPTIONS_OF:
            check_options(OPTIONS_OF[key], get_nested(values, OPTIONS_OF[key]), name, registry)
    for key, name in chosen.items():
        for rule in rules_of(registries[key][name]):
            rule.check(f"{key}={name}", values)


def check_options(key: str, options: Mapping[str, Any], name: str, registry: Registry[Any]) -> None:
    """Raise UserError for an unknown option or a value of the wrong type; options are arguments with a default.

    Arguments:
        key: Dotted key of the options, such as sample.options.
        options: Option -> value.
        name: Name of the registered function or class that takes them.
        registry: Where it is registered.
    """
    arguments = inspect.signature(registry[name]).parameters.values()
    known = {argument.name: argument.annotation for argument in arguments if argument.default is not argument.empty}
    for option, value in options.items():
        if option not in known:
            raise UserError(f"{key}: {unknown(f'option of the {registry.kind} {name}', str(option), known)}")
        check_kind(f"{key}.{option}", value, known[option])


def check_kind(key: str, value: object, annotation: Any) -> None:
    """Raise UserError if a value is not of its argument's type (int, float, str or bool), or is nan."""
    kind = getattr(annotation, "__name__", annotation)
    wanted, name = KINDS.get(kind, (object, ""))
    number = kind in ("int", "float")
    if not isinstance(value, wanted) or (number and (isinstance(value, bool) or value != value)):
        raise UserError(f"{key}={value!r}: should be {name}.")
