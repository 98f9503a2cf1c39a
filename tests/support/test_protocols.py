"""`provides` evaluates no member, so no check of an ability opens a data set."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Protocol

import pytest

from polydiff.contract import abilities
from polydiff.contract.abilities import (
    Archives,
    HasQuarantine,
    HasScripts,
    HasUnits,
    Inspects,
    TellsTogether,
    quarantine_of,
)
from polydiff.contract.editing import Compares, Restores
from polydiff.contract.sections.run import Config
from polydiff.core import space
from polydiff.core.space import Euclidean, HasComponents, Matches, Repeats
from polydiff.support.protocols import Forwards, provides

ABILITIES = [
    found
    for module in (abilities, space)
    for _, found in inspect.getmembers(module, inspect.isclass)
    if Protocol in found.__bases__ and found.__module__ == module.__name__ and found is not space.Space
]


class Untouchable:
    """An object with members of several abilities; evaluating one of them fails."""

    @property
    def quarantine(self) -> Any:
        raise AssertionError("the data set was opened")

    @property
    def together(self) -> Any:
        raise AssertionError("evaluated")

    @cached_property
    def task(self) -> Any:
        raise AssertionError("evaluated")

    components = property(lambda self: 1 / 0)
    archive = property(lambda self: 1 / 0)

    def read_degraded(self) -> None: ...
    def compare(self) -> None: ...


def test_abilities_are_found_in_their_modules() -> None:
    assert len(ABILITIES) > 15
    assert {HasQuarantine, Inspects, Repeats, HasComponents, HasUnits} <= set(ABILITIES)


@pytest.mark.parametrize("ability", ABILITIES, ids=lambda ability: ability.__name__)
def test_a_check_evaluates_no_member(ability: type) -> None:
    has = {HasQuarantine, TellsTogether, Restores, Compares, HasComponents, Archives}
    assert provides(Untouchable(), ability) == provides(Untouchable, ability) == (ability in has)
    with pytest.raises(TypeError, match="runtime"):  # isinstance would evaluate members, so it must not work
        isinstance(Untouchable(), ability)


def test_methods_attributes_and_slots_count_as_members() -> None:
    class Method:
        def scripts(self) -> Mapping[str, str]:
            return {}

    class Attribute:
        quarantine = None

    class Own:
        def __init__(self) -> None:
            self.together = ("a", "b")

    class Static:
        @staticmethod
        def inspect(config: Config, report: Any) -> None: ...

    class Withdrawn(Method):
        scripts = None  # type: ignore[assignment]

    class Slots:
        __slots__ = ("together",)

        def __init__(self) -> None:
            self.together = ()

    assert provides(Method(), HasScripts)
    assert not provides(Withdrawn(), HasScripts)
    assert provides(Attribute(), HasQuarantine)
    assert quarantine_of(Attribute()) is None
    assert provides(Own(), TellsTogether)
    assert provides(Slots(), TellsTogether)
    assert provides(Static, Inspects)
    assert provides(Static(), Inspects)
    assert not provides(Method(), HasUnits)
    assert not provides(object(), HasScripts)


def test_a_euclidean_space_has_only_the_ability_to_repeat() -> None:
    plain = Euclidean(2, (3,))
    assert provides(plain, Repeats)
    assert not provides(plain, HasComponents)
    assert not provides(plain, Matches)


class Wrapper(Forwards):
    """A domain around another one."""

    def __init__(self, domain: object) -> None:
        self.__wrapped__ = domain


class Scripting(Wrapper):
    def __init__(self, domain: object) -> None:
        super().__init__(domain)
        self.withdraw(scripts=HasScripts)

    def scripts(self) -> Mapping[str, str]:
        return {name.upper(): text for name, text in self.__wrapped__.scripts().items()}


class Forwarding:
    """A wrapper without the attribute `__wrapped__`."""

    def __init__(self, domain: object) -> None:
        self.domain = domain

    def __getattr__(self, name: str) -> Any:
        return getattr(self.domain, name)


def test_a_wrapper_has_the_abilities_of_what_it_wraps() -> None:
    class Scripted:
        def scripts(self) -> Mapping[str, str]:
            return {}

    for wrap in (Wrapper, Forwarding):
        assert provides(wrap(Scripted()), HasScripts)
        assert provides(wrap(wrap(Scripted())), HasScripts)
        assert not provides(wrap(Scripted()), HasUnits)
    assert provides(Wrapper(Wrapper(Untouchable())), HasQuarantine)  # without evaluating its members


def test_a_method_without_what_it_relies_on_is_withdrawn() -> None:
    class Scripted:
        def scripts(self) -> Mapping[str, str]:
            return {"a": "b"}

    assert Scripting(Scripted()).scripts() == {"A": "b"}
    assert provides(Scripting(Scripting(Scripted())), HasScripts)
    assert not provides(Scripting(object()), HasScripts)
    assert not provides(Scripting(Scripting(object())), HasScripts)
    with pytest.raises(AttributeError, match="__deepcopy__"):  # no recursion before anything is wrapped
        _ = Wrapper.__new__(Wrapper).__deepcopy__
