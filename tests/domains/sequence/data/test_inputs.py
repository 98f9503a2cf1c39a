"""The user's own texts as inputs, and parts of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from polydiff.domains.sequence.data.inputs import region
from polydiff.domains.sequence.domain import SequenceDomain
from polydiff.support.errors import UserError


@pytest.mark.parametrize(
    ("text", "places"),
    [("3:5", [3, 4]), (":2", [0, 1]), ("6:", [6, 7]), (":", range(8)), ("0:1", [0]), (" 2 : 4 ", [2, 3])],
)
def test_a_region_is_a_range_of_places(text: str, places: list[int]) -> None:
    assert region(text, 8).nonzero()[:, 0].tolist() == list(places)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3", "Write BEGIN:END"),
        ("a:b", "Write BEGIN:END"),
        ("-1:2", "Write BEGIN:END"),
        ("1:2:3", "Write BEGIN:END"),
        ("3:9", "exceeds the 8 letters"),
        ("9:", "exceeds the 8 letters"),
        ("3:3", "contains no letter"),
        ("5:3", "contains no letter"),
    ],
)
def test_other_regions_are_an_error(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        region(text, 8)


def test_each_line_of_a_file_is_an_example(sums: SequenceDomain, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("47+85=132\n\n1+1=3\n")
    batch = sums.read([path])
    assert sums.decode(batch.x, batch.space) == ["47+85=132", "1+1=3"]
    inside = sums.region("6:", batch)
    assert (batch.x * inside).shape == batch.x.shape


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("47+85=1320000", "line 1 has 13 letters, more than the 10 of the model's texts"),
        ("1+1=2\n4x+1=5", r"line 2: the letter 'x' at place 1 is none of those .* It knows '\+ 0 1 2 3 4 5 6 7 8 9 ='"),
        ("\n", "holds no text"),
    ],
)
def test_texts_that_the_model_cannot_read_are_an_error(
    sums: SequenceDomain, tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        sums.read([path])


def test_a_missing_file_is_an_error(sums: SequenceDomain, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.txt"):
        sums.read([tmp_path / "none.txt"])
