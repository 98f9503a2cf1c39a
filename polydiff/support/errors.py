"""What a user did wrong, said in one message."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from numbers import Integral
from pathlib import Path
from typing import Any


class UserError(Exception):
    """A mistake of the user's, with a message that says what was wrong, where, and what to do.

    The command line prints the message without a traceback and exits with code 2.
    """


def one_line(error: BaseException) -> str:
    """Return an exception as one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that resembles a name most, None if none does."""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)), None)


def unknown(kind: str, name: str, known: Iterable[str], hint: str = "") -> UserError:
    """Return the error for a name that nothing answers to, with the nearest that exists."""
    names = sorted(known)
    near = nearest(name, names)
    meant = f" Did you mean {near!r}?" if near else ""
    listed = ", ".join(names) if names else "none"
    return UserError(f"Unknown {kind} {name!r}.{meant} Known: {listed}.{' ' + hint if hint else ''}")


def check_whole(name: str, value: object, least: int = 1) -> None:
    """Refuse what is no whole number, or a smaller one than makes sense."""
    if type(value) is bool or not isinstance(value, Integral) or value < least:
        raise UserError(f"{name} must be a whole number of at least {least}, not {value!r}.")


def listed(paths: Iterable[Path | str] | Path | str) -> list[Path]:
    """Return the paths of files that somebody named, one or several."""
    found = [Path(path) for path in ([paths] if isinstance(paths, Path | str) else paths)]
    if not found:
        raise UserError("No file is named. Name one at least.")
    return found


def check_file(path: Path) -> None:
    """Refuse what is no file."""
    if path.is_dir():
        raise UserError(f"{path} is a folder. Name files in it, such as {path}/*.")
    if not path.is_file():
        raise UserError(f"There is no file {path}.")


def attempt(key: str, use: Callable[[], Any]) -> Any:
    """Return what a call returns; what it raises is the user's mistake in this key."""
    try:
        return use()
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        raise UserError(f"{key}: {error}") from error
