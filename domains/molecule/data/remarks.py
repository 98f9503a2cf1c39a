"""Reasons and remarks on molecules, counted, with the places of the first ones."""

from __future__ import annotations

from collections import Counter

MAX_NAMED = 5
"""Number of rejected molecules whose places are recorded for each reason."""


class Remarks:
    """Numbers of molecules by reason or remark, with the places of the first ones."""

    def __init__(self) -> None:
        self.counts, self.named = Counter[str](), dict[str, list[str]]()

    def add(self, text: str, place: str) -> None:
        """Count a molecule at a place."""
        self.counts[text] += 1
        if len(listed := self.named.setdefault(text, [])) < MAX_NAMED:
            listed.append(place)
