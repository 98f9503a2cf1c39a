"""Which column of a data set holds captions."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from polydiff.support.errors import unknown

TEXT = "text"
"""Column of captions, and the condition that they become."""
CAPTIONS = (TEXT, "caption", "captions")
"""Columns that are captions with data.captions=auto: the first that exists."""


def caption_column(captions: str, existing: Collection[str]) -> str:
    """Return the column of captions, "" if there is none.

    Arguments:
        captions: `data.captions`: a column, auto for the first of `CAPTIONS` that exists, or none.
        existing: The columns of the data.

    Raises:
        UserError: There is no such column.
    """
    if captions in ("auto", "none"):
        return next((name for name in CAPTIONS if captions == "auto" and name in existing), "")
    if captions not in existing:
        raise unknown("column", captions, existing, "data.captions is the column of the captions, auto or none.")
    return captions


def captioned(texts: Iterable[Any]) -> str:
    """Return how many examples have a caption and how many none, as a remark."""
    have = [bool(str(text or "").strip()) for text in texts]
    return f"{sum(have)} have a caption" + (f", {len(have) - sum(have)} have none" if not all(have) else "")
