"""Kinds of conditions: blank values, values that fit a kind, declarations, and the user's values."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from polydiff.core.conditions import (
    Aligned,
    Classes,
    Kind,
    Number,
    Tokens,
    Vector,
    absent,
    as_kinds,
    given,
)

N = 3
VALUES: dict[Kind, Tensor] = {
    Classes(4): torch.tensor([0, 3, -1]),
    Number(): torch.tensor([0.5, -2.0, math.nan]),
    Vector(4): torch.randn(N, 4),
    Tokens(5): torch.randn(N, 2, 5),
    Aligned(6, every=4): torch.randn(N, 6, 3),
}
KINDS = list(VALUES)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("sizes", [(12,), (7, 9), ()])
def test_a_blank_fits_its_kind_and_no_element_is_given(kind: Kind, sizes: tuple[int, ...]) -> None:
    blank = kind.blank(N, sizes)
    assert kind.mismatch(blank, N) is None
    assert not given(blank).any()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_value_fits_only_its_own_kind(kind: Kind) -> None:
    value = VALUES[kind]
    assert [other for other in KINDS if other.mismatch(value, N) is None] == [kind]
    assert kind.mismatch(absent(value), N) is None
    assert not given(absent(value)).any()


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (Tokens(5), torch.zeros(N, 2, 4), r"shape \(3, 2, 4\), but embedding of width 5 should be .* \(B, N, 5\)"),
        (Classes(4), torch.zeros(N), r"is torch.float32 of shape \(3,\), but 4 classes should be torch.int64"),
        (Classes(4), torch.tensor([0, 4, 1]), "values that 4 classes cannot have"),
        (Classes(4), torch.tensor([0, -2, 1]), "values that 4 classes cannot have"),
        (Number(), torch.tensor([0.0, math.inf, 1.0]), "values that number cannot have"),
        (Number(), torch.zeros(N + 1), r"shape \(4,\) in a batch of 3"),
        (Number(), torch.tensor(0.0), r"shape \(\) in a batch of 3"),
        (Aligned(2), torch.zeros(N, 3, 4), r"signal of 2 channels.* shape \(B, 2, \.\.\.\)"),
    ],
)
def test_a_mismatch_names_the_value_and_the_kind(kind: Kind, value: Tensor, message: str) -> None:
    mismatch = kind.mismatch(value, N)
    assert mismatch is not None
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(mismatch)


def test_a_whole_number_declares_classes_and_zero_declares_a_number() -> None:
    kinds = as_kinds({"label": 10, "tempo": 0, "text": Tokens(3)})
    assert kinds == {"label": Classes(10), "tempo": Number(), "text": Tokens(3)}
    assert as_kinds(kinds) == kinds
    for wrong in (-1, 0.5, "10 classes", None):
        with pytest.raises(TypeError, match=r"The condition label is declared as .*polydiff\.core\.conditions"):
            as_kinds({"label": wrong})  # type: ignore[dict-item]


def test_kinds_have_descriptions() -> None:
    words = [kind.words for kind in (Classes(3), Number(), Vector(9), Tokens(512), Aligned(80, 256))]
    expected = ["3 classes", "number", "vector of 9 numbers", "embedding of width 512"]
    assert words == [*expected, "signal of 80 channels, one value for 256"]
