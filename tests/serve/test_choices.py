"""Choices of conditions, found by drawing and describing them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from polydiff.core.conditions import Classes, Number, Tokens
from polydiff.serve.worker.choices import Choice, choices


class Words:
    """A domain that draws one condition of each kind."""

    def __init__(self, declared: dict[str, Any], drawn: dict[str, Any], said: dict[str, Any]) -> None:
        self.conditions, self.drawn, self.said = declared, drawn, said

    def blank(self, generators: Any, requested: Any) -> tuple[None, dict[str, torch.Tensor]]:
        n = len(generators)
        return None, {name: value.repeat(n // len(value) + 1)[:n] for name, value in self.drawn.items()}

    def describe(self, cond: dict[str, torch.Tensor]) -> list[dict[str, Any]]:
        n = len(next(iter(cond.values())))
        return [{name: self.said[name](cond[name][i].item()) for name in cond} for i in range(n)]


def test_classes_numbers_and_texts_are_in_the_users_words() -> None:
    domain = Words(
        {"animal": Classes(3), "mass": Number(), "atoms": Number(), "text": Tokens(4), "vectors": Tokens(4)},
        {
            "animal": torch.tensor([1]),  # rare ones may never be drawn
            "mass": torch.tensor([0.5, float("nan"), 2.0]),
            "atoms": torch.tensor([3.0, 9.0]),
            "text": torch.tensor([0, 1]),
            "vectors": torch.tensor([0]),
        },
        {
            "animal": lambda place: ("cat", "dog", "owl")[place],
            "mass": lambda value: "any" if value != value else value,
            "atoms": int,
            "text": lambda place: ("a red circle", "a blue square")[place],
            "vectors": lambda place: "any",
        },
    )
    assert choices(domain) == [  # type: ignore[arg-type]
        Choice("animal", "class", ("cat", "dog", "owl")),
        Choice("mass", "number", (), 0.5, 2.0),
        Choice("atoms", "number", (), 3.0, 9.0, whole=True),
        Choice("text", "text", ("a red circle", "a blue square")),
    ]


@pytest.mark.parametrize("declared", [{}, {"known": Number()}])
def test_without_conditions_there_is_no_choice(declared: dict[str, Any]) -> None:
    assert choices(Words(declared, {}, {})) == []  # type: ignore[arg-type]
