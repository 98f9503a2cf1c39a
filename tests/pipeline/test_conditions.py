"""A condition of one stage means the same at another, though its tensors may not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from polydiff.core.conditions import Classes
from polydiff.core.space import Euclidean
from polydiff.pipeline.conditions import Shared, conditions_for, passed
from polydiff.support.errors import UserError


class Names:
    """A domain whose classes have names, in an order of its own."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.conditions = {"colour": Classes(len(names))}

    def blank(self, generators: Sequence[torch.Generator], requested: dict[str, str]) -> Any:
        if requested["colour"] not in self.names:
            raise UserError(f"Unknown colour {requested['colour']!r}.")
        return Euclidean(1, (1,)), {"colour": torch.tensor([self.names.index(requested["colour"])])}

    def describe(self, cond: dict[str, torch.Tensor]) -> list[dict[str, Any]]:
        return [{"colour": self.names[i]} if i >= 0 else {"colour": None} for i in cond["colour"].tolist()]


VALUES = torch.tensor([0, 2, -1, 0])


def translated(*names: str) -> list[int]:
    first: Any = Names("red", "green", "blue")
    other: Any = Names(*names)
    return passed("colour", Shared("base", first, VALUES), "up", other).tolist()


def test_equal_vocabularies_share_the_tensor() -> None:
    assert translated("red", "green", "blue") == VALUES.tolist()


def test_other_vocabularies_share_the_words() -> None:
    assert translated("blue", "green", "red") == [2, 0, -1, 2]
    assert translated("blue", "red") == [1, 0, -1, 1]


def test_a_word_that_a_stage_does_not_know_is_an_error() -> None:
    with pytest.raises(UserError, match="Stage up does not know colour=blue, which stage base drew: Unknown colour"):
        translated("red", "green")


def test_a_stage_without_the_condition_gets_none() -> None:
    bare: Any = Names("red")
    bare.conditions = {}
    first: Any = Names("red", "green", "blue")
    assert conditions_for("up", bare, {"colour": Shared("base", first, VALUES)}) == {}
