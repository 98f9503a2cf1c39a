"""Whether an object has what a protocol asks for, found out without evaluating anything of it."""

from __future__ import annotations

import inspect
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from typing_extensions import get_protocol_members

if TYPE_CHECKING:
    from typing_extensions import TypeIs

P = TypeVar("P")
ABSENT = object()


def provides(subject: object, protocol: type[P]) -> TypeIs[P]:
    """Return whether an object, or a class, has all members of a protocol.

    Unlike `isinstance` with a runtime-checkable protocol, which in Python 3.11 evaluates every member, this looks at
    the names alone, so that a property that opens a data set stays untouched. A method set to None is not there, so a
    subclass can give up what its base class provides.

    A wrapper that forwards by `__getattr__` provides what it wraps. It should name the wrapped object `__wrapped__`,
    as `functools.wraps` does. Otherwise `__getattr__` itself is called, with whatever it evaluates.

    Arguments:
        subject: A domain, a space, or a class of them.
        protocol: Such as `polydiff.contract.abilities.HasUnits`.
    """
    return all(has(subject, name, method) for name, method in members(protocol))  # type: ignore[arg-type] # a class is hashable


@cache
def members(protocol: type) -> tuple[tuple[str, bool], ...]:
    """Return the names of a protocol's members, and whether each is a method."""
    return tuple((name, callable(getattr(protocol, name, None))) for name in sorted(get_protocol_members(protocol)))


def has(subject: object, name: str, method: bool) -> bool:
    """Return whether an object has a member, as a method that is not None."""
    found = inspect.getattr_static(subject, name, ABSENT)
    if found is not ABSENT:
        return not (method and found is None)
    if inspect.getattr_static(type(subject), "__getattr__", None) is None:
        return False
    wrapped = inspect.getattr_static(subject, "__wrapped__", ABSENT)
    return hasattr(subject, name) if wrapped is ABSENT else has(wrapped, name, method)
