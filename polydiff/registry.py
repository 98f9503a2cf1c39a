"""Things that a config can name: schedules, targets, weightings, samplers, optimizers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from polydiff.errors import unknown

T = TypeVar("T")


class Registry(Generic[T]):
    """A dictionary from names to values of one kind, that says what it knows when a name is wrong.

    Arguments:
        kind: What the values are, in the singular; used in messages.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that files a value under `name`; a taken name is an error."""

        def file(value: T) -> T:
            if name in self._entries:
                raise ValueError(f"The {self.kind} {name!r} is registered already.")
            self._entries[name] = value
            return value

        return file

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise unknown(self.kind, name, self._entries)
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __contains__(self, name: object) -> bool:
        return name in self._entries
