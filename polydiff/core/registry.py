"""Registries of what a configuration can name: schedules, targets, weightings, samplers, optimizers and others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from polydiff.core import extensions
from polydiff.support.errors import UserError, unknown

T = TypeVar("T")


class Registry(Generic[T]):
    """A dictionary from names to values of one kind. The error for an unknown name lists similar and known names.

    Looking up an unknown name and listing all names import the extensions first (`polydiff.core.extensions`).

    Arguments:
        kind: Kind of the values in the singular, such as "sampler", for messages.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}
        extensions.tables.append(self._entries)

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers a value under `name` and returns it.

        Raises:
            UserError: The name is taken; raised by the decorator.
        """

        def add(value: T) -> T:
            if name in self._entries:
                owner = getattr(self._entries[name], "__module__", "another module")
                raise UserError(f"The {self.kind} {name!r} is registered already, by {owner}. Choose another name.")
            self._entries[name] = value
            return value

        return add

    @contextmanager
    def temporary(self, name: str | None = None, value: T | None = None) -> Iterator[None]:
        """Register a value for a `with` block. At its end, all entries are as they were before it.

        Arguments:
            name: Name of the value; None: register nothing, only undo what the block registers.
            value: The value to register.
        """
        before = dict(self._entries)
        try:
            if name is not None and value is not None:
                self.register(name)(value)
            yield
        finally:
            self._entries.clear()
            self._entries.update(before)

    def loaded(self) -> list[str]:
        """Return the names registered so far, sorted. Unlike iteration, this imports no extension."""
        return sorted(self._entries)

    def unknown(self, name: str) -> UserError:
        """Return the error for a name that is not registered."""
        hint = f"{extensions.HINT} {extensions.broken()}".strip()
        return unknown(self.kind, name, self, hint)

    def __getitem__(self, name: str) -> T:
        if name not in self:
            raise self.unknown(name)
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        extensions.installed()
        return iter(self.loaded())

    def __contains__(self, name: object) -> bool:
        if name not in self._entries:
            extensions.installed()
        return name in self._entries
