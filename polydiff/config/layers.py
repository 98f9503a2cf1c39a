"""Layers of settings: what one source sets, by nested or dotted keys.

A layer is checked against the fields of a configuration only when it is read (`assignments`), so a preset and a file
have the same form.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from polydiff.config.keys import (
    CommandLineValue,
    Fields,
    holds_sections,
    keys_of,
    kinds,
    read_command_line_value,
    unknown_key,
)
from polydiff.contract.sections.base import OPTIONS_OF, NamesFolder, is_marked
from polydiff.hub.names import on_hub
from polydiff.support.errors import UserError, shortened
from polydiff.support.nested import get_dotted
from polydiff.support.yaml_text import parse_yaml


class Layer(NamedTuple):
    """The values that one source sets.

    Attributes:
        source: "preset quick", "file my.yaml", "arguments" or "command line".
        values: Nested or dotted keys and their values.
        folder: Folder of the file, in which relative paths of runs are looked for first; None: the layer is no file.
    """

    source: str
    values: Mapping[str, Any]
    folder: Path | None = None


def last(layers: Sequence[Layer], key: str) -> Any:
    """Return the value of a key in the last layer that sets it to anything but None; None if no layer does."""
    return next((value for layer in reversed(layers) if (value := get_dotted(layer.values, key)) is not None), None)


def assignments(layer: Layer, fields: Fields, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a layer sets, as dotted key -> value.

    A single option such as `loss.times_options.mean` is added to the options that are set already. A new name, such as
    another `loss.times`, first removes the options of the old one.

    Arguments:
        layer: The layer.
        fields: Dotted key -> field, of all keys that exist.
        state: Dotted key -> value, as the layers before set them.

    Raises:
        UserError: A key does not exist or is given two values, a section gets a single value, or a value from the
            command line is not YAML.
    """
    entries = [
        (key, option, in_folder(value, layer.folder) if is_marked(fields[key], NamesFolder) else value)
        for key, option, value in walk(layer, fields, layer.values)
    ]
    seen: dict[tuple[str, str], Any] = {}
    for key, option, value in entries:
        first = seen.setdefault((key, option), value)
        if first is not value and first != value:  # NaN differs from itself
            name = f"{key}.{option}" if option else key
            raise UserError(f"{layer.source}: {name} is given twice, such as nested and dotted. Leave one of them out.")
    renamed = (key for key, option, value in entries if not option and key in OPTIONS_OF and value != state[key])
    update: dict[str, Any] = {OPTIONS_OF[key]: {} for key in renamed}
    for key, option, value in entries:
        update[key] = with_option(update.get(key, state[key]), option.split("."), value) if option else value
    return update


def in_folder(value: Any, folder: Path | None) -> Any:
    """Return the path of a run that a file names, or several by name; one that is beside the file becomes absolute."""
    if isinstance(value, Mapping):
        return {name: in_folder(path, folder) for name, path in value.items()}
    if folder is None or not isinstance(value, str) or not value or on_hub(value):
        return value
    place = str(folder / value)
    return place if os.path.lexists(place) else value  # Path.exists raises an error on a name that is too long


def with_option(values: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """Return nested mappings with one more value, at a path of keys."""
    name, *rest = path
    return {**values, name: with_option(values.get(name, {}), rest, value) if rest else value}


def walk(layer: Layer, fields: Fields, values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield (dotted key, option or "", value) for every value of a layer.

    Arguments:
        layer: The layer; its source appears in messages.
        fields: Dotted key -> field, of all keys that exist.
        values: The values of the layer, or of one of its sections.
        prefix: Dotted path of `values`, such as "loss."; "": they are those of the whole layer.

    Raises:
        UserError: As in `assignments`.
    """
    for name, value in values.items():
        key = prefix + str(name).replace("-", "_")
        parent, option = owner_of(key, fields)
        if key in fields:
            yield key, "", read_command_line_value(value, fields[key].annotation, key)
        elif any(other.startswith(f"{key}.") for other in fields):
            section = parse_yaml(value, key) if isinstance(value, CommandLineValue) else value
            if not isinstance(section, Mapping):
                raise UserError(
                    f"{key}={shortened(str(value))} ({layer.source}): {key} is a section. {keys_of(key, fields)}"
                )
            yield from walk(layer, fields, section, f"{key}.")
        elif parent in fields and dict in kinds(fields[parent].annotation):
            yield parent, option, parse_yaml(value, key) if isinstance(value, CommandLineValue) else value
        else:
            raise UserError(unknown_key(key, layer.source, fields))


def owner_of(key: str, fields: Fields) -> tuple[str, str]:
    """Return the key before the last dot, and the option after it; of a mapping of sections, the mapping and the rest.

    Such as ("loss.times_options", "mean"), and ("parts", "bonds.weight").
    """
    for name in (key[:i] for i, sign in enumerate(key) if sign == "."):
        if name in fields and holds_sections(fields[name].annotation):
            return name, key[len(name) + 1 :]
    parent, _, option = key.rpartition(".")
    return parent, option


def without_keys(values: Mapping[str, Any], removed: Collection[str], prefix: str = "") -> dict[str, Any]:
    """Return nested or dotted keys and their values without the keys in `removed` and without single options of these.

    Arguments:
        values: Nested or dotted keys and their values.
        removed: Dotted keys.
        prefix: Dotted path of `values` inside the configuration, such as "loss.".
    """
    left = {}
    for name, value in values.items():
        key = prefix + str(name).replace("-", "_")
        if key in removed or key.rpartition(".")[0] in removed:
            continue
        inside = isinstance(value, Mapping) and any(other.startswith(f"{key}.") for other in removed)
        left[name] = without_keys(value, removed, f"{key}.") if inside else value
    return left
