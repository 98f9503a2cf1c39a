"""Mistakes of the user: the exception `UserError`, and checks that raise it."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral
from os import PathLike
from pathlib import Path
from types import UnionType
from typing import Any


class UserError(Exception):
    """A mistake of the user. Its message states what is wrong, where, and what to do.

    The command line prints the message without a traceback and exits with code 2.

    Attributes:
        silent: Whether another process prints the same message.
    """

    silent: bool = False


class NonFiniteError(RuntimeError):
    """A loss, a gradient or a weight is NaN or infinite; what is saved is from before it."""


def one_line(error: BaseException) -> str:
    """Return the type and the message of an exception on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def printable(text: str) -> str:
    """Return text on one line, with control characters and undecodable bytes of file names escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shortened(text: str, most: int = 200) -> str:
    """Return a text, of which a message shows `most` letters at most."""
    return text if len(text) <= most else f"{text[:most]}..."


def amount(n: int, one: str, many: str = "") -> str:
    """Return a number of things as text: "1 tensor", "2,000 tensors".

    Arguments:
        n: How many.
        one: Name of one of them.
        many: Name of several; "": that of one with an s.
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def nearest(name: str, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """Return the known name that the fewest slips turn into `name`, whatever its capitals; None if there is none.

    Arguments:
        name: The name as typed.
        known: Names that exist.
        cutoff: Similarity below which a name is not near (`difflib.SequenceMatcher.ratio`).
    """
    typed = name.lower()
    similar = {other: difflib.SequenceMatcher(None, other.lower(), typed).ratio() for other in sorted(known)}
    near = [other for other, ratio in similar.items() if ratio >= cutoff]
    return min(near, key=lambda other: (slips(typed, other.lower()), -similar[other]), default=None)


def slips(a: str, b: str) -> int:
    """Return how many letters must be added, left out, replaced or swapped with the next one to turn a into b.

    (Optimal string alignment, the restricted distance of Damerau and Levenshtein.)
    """
    rows = [list(range(len(b) + 1))]
    for i, letter in enumerate(a, 1):
        row = [i]
        for j, other in enumerate(b, 1):
            fewest = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == b[j - 2] and a[i - 2] == other:
                fewest = min(fewest, rows[-2][j - 2] + 1)
            row.append(fewest)
        rows.append(row)
    return rows[-1][-1]


def unknown(kind: str, name: str, known: Iterable[str], hint: str = "") -> UserError:
    """Return the error for a name that does not exist, with the most similar name and all that exist.

    Arguments:
        kind: What the name should be, such as "sampler".
        name: The unknown name.
        known: Names that exist.
        hint: A last sentence of the message; "": none.
    """
    names = sorted(known)
    shown = shortened(name)
    near = nearest(name, names) if shown == name else None  # a name so long is no slip
    meant = f" Did you mean {near!r}?" if near else ""
    listed = ", ".join(names) if names else "none"
    return UserError(f"Unknown {kind} {shown!r}.{meant} Known: {listed}.{' ' + hint if hint else ''}")


def check_whole(name: str, value: object, least: int = 1) -> None:
    """Raise UserError unless a value is a whole number, no bool, of at least `least`; the message calls it `name`."""
    if type(value) is bool or not isinstance(value, Integral) or value < least:
        raise UserError(f"{name} must be a whole number of at least {least}, not {value!r}.")


def check_type(name: str, value: object, kind: type | UnionType, expected: str) -> None:
    """Raise UserError unless a value is of a type.

    Arguments:
        name: What the message calls the value.
        value: The value.
        kind: The type, or several.
        expected: What the value should be, in words.
    """
    if not isinstance(value, kind):
        raise UserError(f"{name} must be {expected}, not {reprlib.repr(value)}.")


def as_path(name: str, value: object) -> Path:
    """Return a path that is given as one or as text; raise UserError for anything else. The message calls it `name`."""
    check_type(name, value, str | PathLike, "a path, as text or a Path")
    return Path(value)  # type: ignore[arg-type] # mypy does not follow the check


def path_list(name: str, paths: object) -> list[Path]:
    """Return one path or several as a list; raise UserError for anything else. The message calls them `name`."""
    if isinstance(paths, str | PathLike):
        return [Path(paths)]
    check_type(name, paths, Iterable, "a path or a list of paths")
    return [as_path(f"{name}[{i}]", path) for i, path in enumerate(paths)]  # type: ignore[arg-type,var-annotated] # as above


def as_paths(paths: Iterable[Path | str] | Path | str) -> list[Path]:
    """Return one path or several as a list; raise UserError if there are none."""
    found = path_list("paths", paths)
    if not found:
        raise UserError("No file is given. Give at least one.")
    return found


def as_mapping(where: str, value: object) -> Mapping[str, Any]:
    """Return a mapping with text as keys, {} for None; raise UserError for anything else.

    Arguments:
        where: Beginning of the message.
        value: The mapping.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UserError(
            f"{where} should be names with values, such as {{train.steps: 1000}}, not {reprlib.repr(value)}."
        )
    for name in value:
        if not isinstance(name, str):
            raise UserError(f"{where}: the name {name!r} should be text, in quotes if it is a number.")
    return value


def check_file(path: Path) -> None:
    """Raise UserError unless a path is a file."""
    if path.is_dir():
        raise UserError(f"{path} is a folder. Give files in it, such as {path}/*.")
    if not path.is_file():
        raise UserError(f"There is no file {path}.")


def attempt(key: str, use: Callable[[], Any]) -> Any:
    """Return what `use` returns; an error that it raises becomes a UserError about a key.

    Arguments:
        key: Key whose value `use` depends on, such as "sample.options"; it starts the message.
        use: A call without arguments.

    Raises:
        UserError: `use` raised an error of Python that wrong values or a third party's component can cause.
    """
    try:
        return use()
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        raise UserError(f"{key}: {error}") from error
    except (LookupError, AttributeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"{key}: {one_line(error)}") from error  # the message alone may be a bare name
