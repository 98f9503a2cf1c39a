"""Registries: names, helpful errors, temporary entries."""

from __future__ import annotations

import pytest

from polydiff.core.registry import Registry
from polydiff.support.errors import UserError


@pytest.fixture
def numbers() -> Registry[int]:
    registry: Registry[int] = Registry("number")
    registry.register("one")(1)
    return registry


def test_a_taken_name_is_an_error(numbers: Registry[int]) -> None:
    with pytest.raises(UserError, match=r"The number 'one' is registered already, by .*\. Choose another name\."):
        numbers.register("one")(2)
    assert numbers["one"] == 1


def test_the_error_for_an_unknown_name_suggests_one_or_explains_plugins(numbers: Registry[int]) -> None:
    with pytest.raises(UserError) as error:
        numbers["onne"]
    assert str(error.value).startswith("Unknown number 'onne'. Did you mean 'one'? Known: one.")
    assert "--plugin" in str(error.value)  # a near miss may also be a name that a plugin registers
    with pytest.raises(UserError, match=r"Unknown number 'xyz'\. Known: one\. If a module .* add --plugin MODULE"):
        numbers["xyz"]


def test_temporary_entries_are_removed(numbers: Registry[int]) -> None:
    with numbers.temporary("two", 2):
        numbers.register("three")(3)
        assert list(numbers) == ["one", "three", "two"]
    assert list(numbers) == ["one"]
    with pytest.raises(UserError, match="registered already"), numbers.temporary("one", 2):
        pass
    with pytest.raises(UserError), numbers.temporary("two", 2):
        numbers["three"]
    assert list(numbers) == ["one"]
