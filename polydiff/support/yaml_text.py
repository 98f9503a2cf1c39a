"""YAML for configurations: 1e-4 is a number, errors take one line, and a comment can follow each value."""

from __future__ import annotations

import itertools
import re
from collections.abc import Hashable, Iterator, Mapping
from enum import Enum
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import yaml

from polydiff.support.errors import UserError, one_line
from polydiff.support.reading import followed, read_regular, reason

LONGEST = 2**18
"""Largest number of letters of a YAML text; a configuration has thousands, and a million take seconds to parse."""
MOST_VALUES, DEEPEST = 1_000_000, 100
"""Number of values in a YAML text, with those that aliases repeat, and depth of their nesting."""
MERGE = "tag:yaml.org,2002:merge"
"""Tag of the key `<<`, which merges other mappings into its own."""
PLAIN = "Use numbers, text, a list or a dictionary."
FLOAT = re.compile(r"[-+]?([0-9][0-9_]*)(\.[0-9_]*)?[eE][-+]?[0-9]+|[-+]?\.[0-9][0-9_]*[eE][-+]?[0-9]+")


class Loader(yaml.SafeLoader):
    """The safe loader that also reads 1e-4 as a number (YAML 1.1 needs 1.0e-4) and rejects duplicate keys.

    A date, such as the folder 2026-02-03, is text: no key of a configuration is a date.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.checked: set[yaml.MappingNode] = set()

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Put the keys of merged mappings (`<<: *common`) before a mapping's own ones, once these are checked."""
        if node not in self.checked:  # a second time the keys of merged mappings are among them
            self.check_keys(node)
            self.checked.add(node)
        super().flatten_mapping(node)

    def check_keys(self, node: yaml.MappingNode) -> None:
        """Raise an error of YAML if a mapping has a key twice."""
        seen = set()
        for key in (self.construct_object(key) for key, _ in node.value if key.tag != MERGE):
            if isinstance(key, Hashable):  # other keys are an error of the safe loader's own
                if key in seen:
                    problem = f"the key {key!r} is given twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
                seen.add(key)


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


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
        UserError: The text is not YAML, or far longer than any configuration.
    """
    if len(text) > LONGEST:
        raise UserError(f"{source} has {len(text):,} letters; a configuration has at most {LONGEST:,}.")
    try:
        value = yaml.load(text, Loader)  # noqa: S506 - Loader is a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise UserError(f"{source}{where}: this is not YAML: {problem}.") from error
    except RecursionError:
        raise UserError(f"{source}: this is not a configuration: its brackets are nested too deeply.") from None
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:  # !!int x, 2026-02-30
        raise UserError(f"{source}: this is not YAML: {one_line(error)}.") from error

    check_plain(value, source)
    return value


def check_plain(value: Any, source: str) -> None:
    """Raise UserError unless a value of YAML has the types of `plain`, does not hold itself, and is not huge.

    A few anchors and aliases can stand for billions of values.
    """
    pending: list[tuple[Any, int]] = [(value, 0)]
    for count in itertools.count():
        if not pending:
            return
        part, depth = pending.pop()
        if count > MOST_VALUES or depth > DEEPEST:
            raise UserError(f"{source}: it holds too many values, or itself, by its anchors (&) and aliases (*).")
        if isinstance(part, dict | list):
            inner = [*part.keys(), *part.values()] if isinstance(part, dict) else part
            pending += [(one, depth + 1) for one in inner]
        elif not isinstance(part, str | int | float | None):
            raise UserError(f"{source}: a configuration cannot hold the type {type(part).__name__}. {PLAIN}")


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds; {} if the file is empty.

    Raises:
        UserError: The file cannot be read, is not YAML, or holds anything but a mapping with text as keys.
    """
    try:
        text = read_regular(followed(Path(path)), 4 * LONGEST).decode("utf-8")  # the user may name a link anywhere
    except (OSError, ValueError) as error:
        raise UserError(f"Cannot read the config file {path}: {reason(error)}.") from error
    return yaml_mapping(text, str(path))


def yaml_mapping(text: str, source: str) -> dict[str, Any]:
    """Return the mapping that a YAML text holds; {} if it is empty. `source` names the text in messages.

    Raises:
        UserError: It is not YAML, or holds anything but a mapping with text as keys.
    """
    values = parse_yaml(text, source)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{source} should hold keys and values, such as 'train: {{steps: 1000}}'.")
    if odd := [key for key in values if not isinstance(key, str)]:
        raise UserError(f"{source}: the key {odd[0]!r} should be text. Keys are such as 'train: {{steps: 1000}}'.")
    return values


def plain(value: Any, key: str, depth: int = 0) -> Any:
    """Return a Python value in the types that YAML can hold: None, bool, int, float, str, list and dict.

    Tuples become lists, paths become text, and members of an enumeration their values. Tensors, and numbers and arrays
    of numpy, become numbers and lists.

    Arguments:
        value: The value; text is not parsed.
        key: Dotted key of the value, for messages.
        depth: How deep the value lies inside the one that the first call received.

    Raises:
        UserError: The value, or one inside it, is of another type, or it holds itself.
    """
    if depth > DEEPEST:
        raise UserError(f"{key.partition('[')[0]}: the value holds itself, or is nested more than {DEEPEST} times.")
    match value:
        case None | bool():
            return value
        case str():
            return str.__str__(value)  # the text of a member of a StrEnum
        case Path():
            return str(value)
        case Enum():
            return plain(value.value, key, depth + 1)
        case Integral():
            return int(value)
        case Real():
            return float(value)
        case Mapping():
            return {plain(name, key): plain(inner, f"{key}.{name}", depth + 1) for name, inner in value.items()}
        case list() | tuple():
            return [plain(inner, f"{key}[{i}]", depth + 1) for i, inner in enumerate(value)]
    if hasattr(value, "tolist"):  # arrays, tensors and numpy's bool
        return plain(value.tolist(), key, depth + 1)
    raise UserError(f"{key}: a configuration cannot hold the type {type(value).__name__}. {PLAIN}")


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
        key, written = prefix + name, one_line_yaml(name)  # the name "on" needs quotes
        if isinstance(value, Mapping) and value and any(other.startswith(f"{key}.") for other in comments):
            yield f"{indent}{written}:"
            yield from dump_lines(value, comments, f"{key}.")
        else:
            comment = f"  # {comments[key]}" if comments.get(key) else ""
            yield f"{indent}{written}: {one_line_yaml(value)}{comment}"
