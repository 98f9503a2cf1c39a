"""Checks of protocols that evaluate no property of the object, and wrappers with the abilities of what they wrap."""

from __future__ import annotations

import inspect
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from typing_extensions import get_protocol_members

if TYPE_CHECKING:
    from typing_extensions import TypeIs

P = TypeVar("P")
ABSENT = object()


def provides(subject: object, protocol: type[P]) -> TypeIs[P]:
    """Return whether an object, or a class, has all members of a protocol.

    `isinstance` with a runtime-checkable protocol evaluates every member in Python 3.11. This function looks only at
    names, so it does not run a property that opens a data set. A method that is set to None counts as missing: so a
    subclass can withdraw a method of its base class.

    A wrapper that forwards by `__getattr__` has the members of the object it wraps. It should keep this object as
    `__wrapped__`, as `functools.wraps` does. Otherwise `__getattr__` itself is called, which may evaluate a property.

    Arguments:
        subject: An object such as a domain or a space, or a class.
        protocol: The protocol, such as `polydiff.contract.abilities.HasUnits`.
    """
    return all(has(subject, name, method) for name, method in members(protocol))  # type: ignore[arg-type] # a class is hashable


@cache
def members(protocol: type) -> tuple[tuple[str, bool], ...]:
    """Return the members of a protocol as pairs (name, whether it is a method)."""
    return tuple((name, callable(getattr(protocol, name, None))) for name in sorted(get_protocol_members(protocol)))


def has(subject: object, name: str, method: bool) -> bool:
    """Return whether an object has a member; a method must not be None."""
    found = inspect.getattr_static(subject, name, ABSENT)
    if found is not ABSENT:
        return not (method and found is None)
    if inspect.getattr_static(type(subject), "__getattr__", None) is None:
        return False
    wrapped = inspect.getattr_static(subject, "__wrapped__", ABSENT)
    return hasattr(subject, name) if wrapped is ABSENT else has(wrapped, name, method)


class Forwards:
    """A wrapper with all members of the object that it wraps, `__wrapped__`, but for those it defines itself."""

    __wrapped__: Any

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.__wrapped__, name)

    def withdraw(self, **abilities: type) -> None:
        """Set methods to None, so that they are missing (`provides`), if the wrapped object lacks what they rely on.

        Arguments:
            abilities: Name of a method of the wrapper -> protocol that the wrapped object must provide.
        """
        for name, protocol in abilities.items():
            if not provides(self.__wrapped__, protocol):
                setattr(self, name, None)
