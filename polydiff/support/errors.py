"""Mistakes of the user: the exception `UserError`, and checks that raise it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from numbers import Integral
from pathlib import Path
from typing import Any


class UserError(Exception):
    """A mistake of the user. Its message states what is wrong, where, and what to do.

    The command line prints the message without a traceback and exits with code 2.
    """


def one_line(error: BaseException) -> str:
    """Return the type and the message of an exception on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to `name`; None if none is similar."""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)), None)


def unknown(kind: str, name: str, known: Iterable[str], hint: str = "") -> UserError:
    """Return the error for a name that does not exist, with the most similar name and all that exist.

    Arguments:
        kind: What the name should be, such as "sampler".
        name: The unknown name.
        known: Names that exist.
        hint: A last sentence of the message; "": none.
    """
    names = sorted(known)
    near = nearest(name, names)
    meant = f" Did you mean {near!r}?" if near else ""
    listed = ", ".join(names) if names else "none"
    return UserError(f"Unknown {kind} {name!r}.{meant} Known: {listed}.{' ' + hint if hint else ''}")


def check_whole(name: str, value: object, least: int = 1) -> None:
    """Raise UserError unless a value is a whole number, no bool, of at least `least`; the message calls it `name`."""
    if type(value) is bool or not isinstance(value, Integral) or value < least:
        raise UserError(f"{name} must be a whole number of at least {least}, not {value!r}.")


def as_paths(paths: Iterable[Path | str] | Path | str) -> list[Path]:
    """Return one path or several as a list; raise UserError if there are none."""
    found = [Path(path) for path in ([paths] if isinstance(paths, Path | str) else paths)]
    if not found:
        raise UserError("No file is given. Give at least one.")
    return found


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
