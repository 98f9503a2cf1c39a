"""Nested mappings and dotted keys, such as train.batch_size, for the values in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def get_dotted(values: Mapping[str, Any], key: str) -> Any:
    """Return the value of a dotted key in a mapping with nested or dotted keys; None if the key is missing."""
    if key in values:
        return values[key]
    head, _, rest = key.partition(".")
    inner = values.get(head)
    return get_dotted(inner, rest) if rest and isinstance(inner, Mapping) else None


def get_nested(values: Mapping[str, Any], key: str) -> Any:
    """Return the value of a dotted key in nested mappings.

    Raises:
        KeyError: The key is missing.
    """
    for name in key.split("."):
        values = values[name]
    return values


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted keys and their values as nested mappings."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *path, name = key.split(".")
        section = nested
        for part in path:
            section = section.setdefault(part, {})
        section[name] = value
    return nested


def flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as dotted keys and their values, the reverse of `nest`; an empty mapping is a value."""
    found: dict[str, Any] = {}
    for name, value in nested.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) and value else {f"{prefix}{name}": value}
    return found
