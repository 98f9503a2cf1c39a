"""The most similar name: the fewest slips of a typing hand, swapped letters among them."""

from __future__ import annotations

import pytest

from polydiff.gaussian.sampling import SAMPLERS
from polydiff.support.errors import amount, nearest, printable, slips


@pytest.mark.parametrize(
    ("a", "b", "n"),
    [("", "", 0), ("abc", "abc", 0), ("abc", "acb", 1), ("ca", "abc", 3), ("steps", "stpe", 2), ("", "ab", 2)],
)
def test_slips_count_swaps_of_neighbours_as_one(a: str, b: str, n: int) -> None:
    assert slips(a, b) == slips(b, a) == n


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("ddmi", "ddim"),
        ("DDIM", "ddim"),
        ("huen", "heun"),
        ("eluer", "euler"),
        ("dpmpp2m", "dpmpp_2m"),
        ("zebra", None),
    ],
)
def test_the_nearest_sampler_is_the_one_that_was_meant(typed: str, meant: str | None) -> None:
    assert nearest(typed, SAMPLERS) == meant


def test_text_of_a_message_stays_on_one_line() -> None:
    assert printable("a\nb\udc80é") == r"a\nb\udc80é"


def test_an_amount_of_one_is_singular() -> None:
    assert [amount(n, "tensor") for n in (0, 1, 2000)] == ["0 tensors", "1 tensor", "2,000 tensors"]
    assert [amount(n, "class", "classes") for n in (1, 2)] == ["1 class", "2 classes"]
