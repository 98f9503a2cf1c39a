"""Dotted keys of a config, such as train.batch_size: listing them, reading typed values, saying what was meant."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from polydiff.support.yaml_text import parse_yaml

Fields = Mapping[str, FieldInfo]
ARGUMENTS = "arguments"
"""Source of the values that a Python program gives."""
UNION_TAGS = ("int", "float", "str", "bool")
"""What pydantic adds to the path of an error, once for each member of a union that a value could have been."""


class Word(str):
    """A value as typed on the command line, read as the type of its key demands."""


def leaves(model: type[BaseModel], prefix: str = "") -> dict[str, FieldInfo]:
    """Return the fields of a model and of its sections, by dotted key."""
    found: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= leaves(field.annotation, f"{prefix}{name}.")
        else:
            found[prefix + name] = field
    return found


def kinds(annotation: Any) -> set[Any]:
    """Return the types that an annotation accepts, without their parameters; the type of a Literal's values."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return set().union(*(kinds(part) for part in get_args(annotation)))
    if origin is Literal:
        return {type(value) for value in get_args(annotation)}
    if origin is Annotated:
        return kinds(get_args(annotation)[0])
    return {origin or annotation}


def read_word(value: Any, annotation: Any, key: str) -> Any:
    """Return a typed word as a value for a field of this type; values of files pass as they are."""
    if not isinstance(value, Word):
        return value
    accepted = kinds(annotation)
    if NoneType in accepted and value.lower() in ("none", "null", "~", ""):
        return None
    if accepted <= {str, Path, NoneType}:
        return str(value)
    parsed = parse_yaml(value, key)
    if isinstance(parsed, str) and accepted & {tuple, list}:  # 1,2,4 and (1, 2, 4) are lists too
        return parse_yaml(f"[{value.strip('()')}]", key)
    return parsed


def unknown_key(key: str, source: str, fields: Fields) -> str:
    """Return the message for a key that nothing has: what was meant, and the keys of its section."""
    near = difflib.get_close_matches(key, fields, n=1, cutoff=0.75) or same_name(key, fields)
    question = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    section = key.rpartition(".")[0]
    listed = "" if near and not section else f" {keys_of(section, fields)}"
    return f"Unknown key {key!r} ({source}).{question}{listed}"


def same_name(key: str, fields: Fields) -> list[str]:
    """Return the keys of other sections whose last part is, or resembles, that of a key."""
    names = {field.rpartition(".")[2] for field in fields}
    near = difflib.get_close_matches(key.rpartition(".")[2], names, n=1, cutoff=0.75)
    return [field for field in fields if field.rpartition(".")[2] in near]


def keys_of(section: str, fields: Fields) -> str:
    """Return a sentence that lists the keys of a section, or all sections where there is no such one."""
    names = [key.removeprefix(f"{section}.") for key in fields if key.startswith(f"{section}.")]
    if names:
        return f"Keys of {section}: {', '.join(names)}."
    alone = [key for key in fields if "." not in key]
    sections = dict.fromkeys(f"{key.partition('.')[0]}.*" for key in fields if "." in key)
    return f"Keys: {', '.join([*alone, *sections])}."


def explain(error: ValidationError, sources: Mapping[str, str], prefix: str = "") -> str:
    """Return one line for each wrong value: key, value, where it came from, what it should be.

    Arguments:
        error: What pydantic found.
        sources: Dotted key -> where its value came from.
        prefix: What stands before the keys, such as "sample.".
    """
    lines: dict[str, str] = {}
    for problem in error.errors(include_url=False):
        path = [part for part in problem["loc"] if part not in UNION_TAGS]
        n = known_length(path, prefix, sources)
        key = prefix + ".".join(map(str, path[:n]))
        source = f" ({sources[key]})" if key in sources else ""
        inner = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path[n:])
        shown = repr if sources.get(key) == ARGUMENTS else str  # in Python "3" is not 3
        given = "" if isinstance(problem["input"], BaseModel | Mapping) else f"={shown(problem['input'])}"
        text = problem["msg"].removeprefix("Value error, ").replace("Input should", "should", 1).rstrip(".")
        where = f"{key}{inner}{given}{source}"
        lines[key + inner] = f"{where}: {text}." if where else f"{text}."
    return "\n".join(lines.values())


def known_length(path: Sequence[int | str], prefix: str, known: Mapping[str, str]) -> int:
    """Return how many parts of a path make the longest known key; all of them where none does."""
    lengths = range(len(path), 0, -1)
    return next((n for n in lengths if prefix + ".".join(map(str, path[:n])) in known), len(path))
