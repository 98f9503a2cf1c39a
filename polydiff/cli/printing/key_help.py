"""Help on the keys of a configuration: a table of values, meanings and types, on stdout."""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.table import Table
from rich.text import Text

from polydiff.cli.printing.tables import emit
from polydiff.config.merge import Settings
from polydiff.support.yaml_text import one_line_yaml

NAMES = {int: "int", float: "number", str: "text", bool: "true|false", NoneType: "none", dict: "{name: value}"}
BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
KEY_WIDTH = 36
"""Width of the column of keys, in characters."""


def help_on_keys(settings: Settings) -> None:
    """Print every key of a configuration: its current value, meaning and type."""
    print(f"\nKeys of {settings.config.domain}, set as key=value or --key value, with their current values:")
    for doc, rows in key_sections(settings.config):
        print(f"\n{doc}")
        grid = Table.grid(padding=(0, 2, 0, 2))
        grid.add_column(width=KEY_WIDTH, overflow="fold")
        grid.add_column()
        for assignment, words in rows:
            grid.add_row(Text(assignment), Text(words))
        emit(grid)


def key_sections(section: BaseModel, prefix: str = "") -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield (description, [(key=value, meaning and type), ...]) of a section and of the sections in it."""
    plain = section.model_dump(mode="json")
    fields = type(section).model_fields
    inner = {name: value for name in fields if isinstance(value := getattr(section, name), BaseModel)}
    own = [name for name in fields if name not in inner]
    doc = " ".join((type(section).__doc__ or "").split("\n\n")[0].split())
    words = [f"{prefix}{name}={one_line_yaml(plain[name])}" for name in own]
    meanings = [f"{meaning(type(section), name)} {type_name(fields[name])}".strip() for name in own]
    yield doc, list(zip(words, meanings, strict=True))
    for name, value in inner.items():
        yield from key_sections(value, f"{prefix}{name}.")


def meaning(section: type[BaseModel], name: str) -> str:
    """Return a field's description; a class that only changes the default inherits it."""
    bases = (base for base in section.__mro__ if issubclass(base, BaseModel) and name in base.model_fields)
    return next((" ".join(text.split()) for base in bases if (text := base.model_fields[name].description)), "")


def type_name(field: FieldInfo) -> str:
    """Return a field's type and bounds as text, such as (int >=1)."""
    bounds = [
        f"{sign}{getattr(limit, name):g}"
        for limit in field.metadata
        for name, sign in BOUNDS.items()
        if hasattr(limit, name)
    ]
    return f"({' '.join([annotation_name(field.annotation), *bounds])})"


def annotation_name(annotation: Any) -> str:
    """Return a type as text, such as int|none."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return "|".join(annotation_name(part) for part in parts)
    if origin is Literal:
        return "|".join(map(str, parts))
    if origin in (tuple, list):
        inner = [annotation_name(part) for part in parts if part is not Ellipsis]
        return f"[{', '.join(inner)}{', ...' if Ellipsis in parts or origin is list else ''}]"
    if origin is not None and origin not in NAMES:  # Annotated
        return annotation_name(parts[0])
    return NAMES.get(origin or annotation, getattr(annotation, "__name__", str(annotation)).lower())
