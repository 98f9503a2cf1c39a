"""Dotted keys of a configuration, such as train.batch_size: listing them, parsing their values, and error messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from polydiff.support.errors import UserError, nearest, printable, shortened
from polydiff.support.yaml_text import parse_yaml, plain

Section = TypeVar("Section", bound=BaseModel)

Fields = Mapping[str, FieldInfo]
ARGUMENTS = "arguments"
"""Source of values that come from Python."""
SHOULD = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "should be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "should be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "should be true or false"),
    **dict.fromkeys(("tuple_type", "list_type"), "should be a list, such as [1, 2]"),
    "dict_type": "should be names with values, such as {name: 1}",
    "string_type": "should be text",
    "path_type": "should be the path of a file or folder, as text",
    "missing": "is missing",
    "extra_forbidden": "is no key",
}
"""Type of an error of pydantic -> what the value should be."""
UNION_TAGS = ("int", "float", "str", "bool")
"""Parts that pydantic adds to the path of an error, one for each member of a union."""


class CommandLineValue(str):
    """The text of a value from the command line, not parsed yet: the type of its key decides how it is read."""


def leaves(model: type[BaseModel], prefix: str = "") -> dict[str, FieldInfo]:
    """Return the fields of a model and of its sections, as dotted key -> field; `prefix` stands before the keys."""
    found: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= leaves(field.annotation, f"{prefix}{name}.")
        else:
            found[prefix + name] = field
    return found


def holds_sections(annotation: Any) -> bool:
    """Return whether a type is a mapping of sections or of mappings, such as dict[str, PartConfig]."""
    values = get_args(annotation)[1:] if get_origin(annotation) is dict else ()
    return any(
        get_origin(value) is dict or (isinstance(value, type) and issubclass(value, BaseModel)) for value in values
    )


def kinds(annotation: Any) -> set[Any]:
    """Return the types that an annotation accepts, without their parameters; of a Literal, the types of its values."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return set().union(*(kinds(part) for part in get_args(annotation)))
    if origin is Literal:
        return {type(value) for value in get_args(annotation)}
    if origin is Annotated:
        return kinds(get_args(annotation)[0])
    return {origin or annotation}


def read_command_line_value(value: Any, annotation: Any, key: str) -> Any:
    """Return a `CommandLineValue` as a value for its field; any other value is returned unchanged.

    Arguments:
        value: Text from the command line, or a value from a file or from Python.
        annotation: Type of the field.
        key: Dotted key, for messages.

    Raises:
        UserError: The text is not YAML.
    """
    if not isinstance(value, CommandLineValue):
        return value
    accepted = kinds(annotation)
    if NoneType in accepted and value.lower() in ("none", "null", "~", ""):
        return None
    if accepted <= {str, Path, NoneType}:
        return str(value)
    parsed = parse_yaml(value, key)
    if isinstance(parsed, str) and accepted & {tuple, list}:  # 1,2,4 and (1, 2, 4) are read as lists
        return parse_yaml(f"[{value.strip('()')}]", key)
    if accepted <= {tuple, list, NoneType} and not isinstance(parsed, list | dict | None):  # 3 is a list of one
        return [parsed]
    return parsed


def unknown_key(key: str, source: str, fields: Fields) -> str:
    """Return the message for a key that does not exist, with similar keys and the keys of its section."""
    shown = shortened(key)
    best = nearest(key, fields, cutoff=0.75) if shown == key else None
    near = [best] if best else same_name(shown, fields)
    question = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    section = key.rpartition(".")[0]
    listed = "" if near and not section else f" {keys_of(section, fields)}"
    return f"Unknown key {shown!r} ({source}).{question}{listed}"


def same_name(key: str, fields: Fields) -> list[str]:
    """Return the keys of any section whose last part equals or resembles the last part of `key`."""
    names = {field.rpartition(".")[2] for field in fields}
    near = nearest(key.rpartition(".")[2], names, cutoff=0.75)
    return [field for field in fields if field.rpartition(".")[2] == near]


def keys_of(section: str, fields: Fields) -> str:
    """Return a sentence that lists the keys of a section, or all sections if there is no section of this name."""
    names = [key.removeprefix(f"{section}.") for key in fields if key.startswith(f"{section}.")]
    if names:
        return f"Keys of {section}: {', '.join(names)}."
    alone = [key for key in fields if "." not in key]
    sections = dict.fromkeys(f"{key.partition('.')[0]}.*" for key in fields if "." in key)
    return f"Keys: {', '.join([*alone, *sections])}."


LISTED = 20
"""Wrong values that a message lists."""


def explain(error: ValidationError, sources: Mapping[str, str], prefix: str = "") -> str:
    """Return one line for each wrong value: its key, the value, its source, and what it should be.

    Arguments:
        error: The error from pydantic.
        sources: Dotted key -> source of its value; {}: sources are not shown.
        prefix: Stands before the keys, such as "sample.".
    """
    lines: dict[str, str] = {}
    problems = error.errors(include_url=False)
    wrong = {problem["loc"][:-1] for problem in problems if problem["loc"]}
    for problem in problems:
        if problem["type"] == "too_short" and problem["loc"] in wrong:  # only because its items are wrong
            continue
        path = [part for part in problem["loc"] if part not in UNION_TAGS]
        n = known_length(path, prefix, sources)
        key = prefix + ".".join(map(str, path[:n]))
        source = f" ({sources[key]})" if key in sources else ""
        inner = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path[n:])
        where, text = f"{key}{inner}{given(problem['input'], sources.get(key))}{source}", words_of(problem)
        if path[-1:] == ["[key]"]:  # of a mapping
            odd = shortened(repr(problem["input"]))
            where, text = f"{key}{source}", f"the key {odd} should be text, in quotes if it is a number"
        lines[key + inner] = f"{where}: {text}." if where else f"{text}."
    rest = [f"And {len(lines) - LISTED:,} more."] if len(lines) > LISTED else []
    return "\n".join([*list(lines.values())[:LISTED], *rest])


def given(value: Any, source: str | None) -> str:
    """Return a wrong value with a sign of equality before it, on one line; "" for a whole section."""
    if isinstance(value, BaseModel | Mapping):
        return ""
    text = repr(value) if source == ARGUMENTS else printable(shortened(str(value)))  # from Python, "3" and 3 differ
    return f"={shortened(text)}"


def words_of(problem: ErrorDetails) -> str:
    """Return what a wrong value should be, in the words of a user."""
    text = problem["msg"].removeprefix("Value error, ").replace("Input should", "should", 1).rstrip(".")
    return SHOULD.get(problem["type"], text)


def known_length(path: Sequence[int | str], prefix: str, known: Mapping[str, str]) -> int:
    """Return how many parts of a path form the longest known key; all of them if none is known."""
    lengths = range(len(path), 0, -1)
    return next((n for n in lengths if prefix + ".".join(map(str, path[:n])) in known), len(path))


def checked(model: type[Section], values: Mapping[str, Any], prefix: str = "") -> Section:
    """Return a section with values that Python gives.

    Arguments:
        model: Class of the section.
        values: Key -> value.
        prefix: Stands before the keys in messages, such as "sample.".

    Raises:
        UserError: A value is not of its key's type.
    """
    try:
        return model.model_validate({key: plain(value, f"{prefix}{key}") for key, value in values.items()})
    except ValidationError as error:
        raise UserError(explain(error, {}, prefix)) from error
