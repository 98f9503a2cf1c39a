"""Tests of `polydiff.contract.measurements`."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from polydiff.contract.measurements import kept_places, mean_blocks, name_and_value, number
from polydiff.core.space import Batch, Euclidean
from polydiff.support.errors import UserError
from polydiff.testing.domain import check_measurement

FORMS = {"grey": "grey", "blur": "blur=1.5"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("blurr=2", "Unknown measurement 'blurr'. Did you mean 'blur'?"),
        ("GREY", "Did you mean 'grey'?"),
        ("", "Unknown measurement ''"),
        ("blur", "blur needs a value, such as blur=1.5"),
        ("blur=", "blur needs a value"),
        ("grey=1", "grey takes no value"),
    ],
)
def test_a_text_that_names_no_measurement_is_an_error(text: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        name_and_value(text, FORMS)
    assert sentence in str(caught.value)


def test_a_name_and_its_value_may_be_spaced() -> None:
    assert name_and_value(" blur = 2 ", FORMS) == ("blur", "2")
    assert name_and_value("grey", FORMS) == ("grey", "")


@pytest.mark.parametrize("value", ["0", "-1", "9", "nan", "inf", "wide", "2.5", ""])
def test_a_value_out_of_range_is_an_error_with_the_range(value: str) -> None:
    with pytest.raises(UserError, match="the side is a whole number from 2 to 8"):
        number(f"mean={value}", value, 2, 8, "the side", whole=True)
    assert number("mean=8", "8", 2, 8, "the side", whole=True) == 8


@pytest.mark.parametrize(("shape", "factor"), [((3, 8, 8), 2), ((1, 7, 5), 3), ((2, 10), 4), ((1, 4), 4)])
def test_blocks_have_their_means_and_an_adjoint_also_at_the_edges(shape: tuple[int, ...], factor: int) -> None:
    space = Euclidean(2, shape)
    x = torch.arange(space.dim[0].item() * 2).reshape(2, *shape)
    operator = mean_blocks(x, factor, 1.0)
    check_measurement(operator, Batch(x, space), "mean")
    first = x[(slice(None), slice(None), *(slice(0, factor) for _ in shape[1:]))]
    corner = operator.forward(x)[(slice(None), slice(None), *(0 for _ in shape[1:]))]
    assert_close(corner, first.flatten(2).mean(-1))
    last = operator.forward(x)[(slice(None), slice(None), *(-1 for _ in shape[1:]))]
    rest = x[(slice(None), slice(None), *(slice((size - 1) // factor * factor, size) for size in shape[1:]))]
    assert_close(last, rest.flatten(2).mean(-1))
    constant = torch.full_like(x, 3)
    assert_close(operator.estimate(operator.forward(constant)), constant)


def test_kept_places_are_those_of_the_mask_and_the_mean_stands_for_the_others() -> None:
    x, space = torch.arange(1, 25).reshape(2, 2, 2, 3).float(), Euclidean(2, (2, 2, 3))
    mask = torch.tensor([[True, False, False], [False, True, True]])
    operator = kept_places(x, mask, 1.0, "gap")
    check_measurement(operator, Batch(x, space), "gap")
    assert_close(operator.forward(x), x[:, :, mask])
    assert_close(operator.estimate(operator.forward(x)), x * mask)
    with pytest.raises(UserError, match="nothing would be left to measure"):
        kept_places(x, torch.zeros(2, 3, dtype=torch.bool), 1.0, "gap")
