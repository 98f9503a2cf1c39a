"""YAML for configurations: 1e-4 is a number, errors take one line, and a comment can follow each value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import yaml

from polydiff.support.errors import UserError, one_line

FLOAT = re.compile(r"[-+]?([0-9][0-9_]*)(\.[0-9_]*)?[eE][-+]?[0-9]+|[-+]?\.[0-9][0-9_]*[eE][-+]?[0-9]+")


class Loader(yaml.SafeLoader):
    """The safe loader that also reads 1e-4 as a number (YAML 1.1 needs 1.0e-4) and rejects duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


class Dumper(yaml.SafeDumper):
    """The safe dumper whose output `Loader` reads back: it quotes the text "1e-4"."""


for reader in (Loader, Dumper):
    reader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(f"^(?:{FLOAT.pattern})$"), list("-+0123456789."))


def represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Return the YAML node of a text, in double quotes if the text has line breaks or characters that do not print."""
    style = None if len(text.splitlines()) < 2 and text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


Dumper.add_representer(str, represent_text)


def parse_yaml(text: str, source: str) -> Any:
    """Return the value of a YAML text.

    Arguments:
        text: The YAML.
        source: Name of the text in messages, such as a file's path or a key.

    Raises:
        UserError: The text is not YAML.
    """
    try:
        return yaml.load(text, Loader)  # noqa: S506 - Loader is a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise UserError(f"{source}{where}: this is not YAML: {problem}.") from error
    except RecursionError:
        raise UserError(f"{source}: this is not a configuration: its brackets are nested too deeply.") from None
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:  # !!int x, 2026-02-30
        raise UserError(f"{source}: this is not YAML: {one_line(error)}.") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds; {} if the file is empty.

    Raises:
        UserError: The file cannot be read, is not YAML, or holds anything but a mapping with text as keys.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"Cannot read the config file {path}: {reason}.") from error
    return yaml_mapping(text, str(path))


def yaml_mapping(text: str, source: str) -> dict[str, Any]:
    """Return the mapping that a YAML text holds; {} if it is empty. `source` names the text in messages.

    Raises:
        UserError: It is not YAML, or holds anything but a mapping with text as keys.
    """
    values = parse_yaml(text, source)
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UserError(f"{source} should hold keys and values, such as 'train: {{steps: 1000}}'.")
    return values


def plain(value: Any, key: str) -> Any:
    """Return a Python value in the types that YAML can hold: None, bool, int, float, str, list and dict.

    Tuples become lists, and paths become text. Tensors, and numbers and arrays of numpy, become numbers and lists.

    Arguments:
        value: The value; text is not parsed.
        key: Dotted key of the value, for messages.

    Raises:
        UserError: The value, or one inside it, is of another type.
    """
    match value:
        case None | bool():
            return value
        case str():
            return str.__str__(value)  # the text of a member of a StrEnum
        case Path():
            return str(value)
        case Integral():
            return int(value)
        case Real():
            return float(value)
        case Mapping():
            return {plain(name, key): plain(inner, f"{key}.{name}") for name, inner in value.items()}
        case list() | tuple():
            return [plain(inner, f"{key}[{i}]") for i, inner in enumerate(value)]
    if hasattr(value, "tolist"):  # arrays, tensors and numpy's bool
        return plain(value.tolist(), key)
    kind = type(value).__name__
    raise UserError(f"{key}: a configuration cannot hold the type {kind}. Use numbers, text, a list or a dictionary.")


def one_line_yaml(value: Any) -> str:
    """Return a value as YAML on one line."""
    wide = float("inf")
    text = yaml.dump(value, None, Dumper, default_flow_style=True, width=wide, sort_keys=False, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def dump_yaml(values: Mapping[str, Any], comments: Mapping[str, str]) -> str:
    """Return nested sections as YAML, one key a line.

    Arguments:
        values: Sections and their values, in the types of `plain`.
        comments: Dotted key -> comment behind its value. A mapping is a section, with its keys on lines of their own,
            only if it holds a key named here; any other mapping is a value on one line.
    """
    return "".join(f"{line}\n" for line in dump_lines(values, comments))


def dump_lines(values: Mapping[str, Any], comments: Mapping[str, str], prefix: str = "") -> Iterator[str]:
    """Yield the lines of `dump_yaml`."""
    indent = "  " * prefix.count(".")
    for name, value in values.items():
        key = prefix + name
        if isinstance(value, Mapping) and value and any(other.startswith(f"{key}.") for other in comments):
            yield f"{indent}{name}:"
            yield from dump_lines(value, comments, f"{key}.")
        else:
            comment = f"  # {comments[key]}" if comments.get(key) else ""
            yield f"{indent}{name}: {one_line_yaml(value)}{comment}"
