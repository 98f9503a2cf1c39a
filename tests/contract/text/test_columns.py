"""Which column of a data set holds captions."""

from __future__ import annotations

import pytest

from polydiff.contract.text.columns import caption_column, captioned
from polydiff.support.errors import UserError


@pytest.mark.parametrize(
    ("captions", "existing", "column"),
    [
        ("auto", ("caption", "text"), "text"),
        ("auto", ("captions", "caption"), "caption"),
        ("auto", ("title",), ""),
        ("none", ("text",), ""),
        ("title", ("text", "title"), "title"),
    ],
)
def test_the_column_of_captions(captions: str, existing: tuple[str, ...], column: str) -> None:
    assert caption_column(captions, existing) == column


def test_a_column_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(UserError, match=r"Unknown column 'titel'.*'title'"):
        caption_column("titel", ("title",))


def test_blank_captions_are_none() -> None:
    assert captioned(["a", " ", None]) == "1 have a caption, 2 have none"
