"""Types and ranges of the statistics in a checkpoint of texts."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from polydiff.contract.data.statistics import FieldStatistics, ProfileStatistics, Statistics
from polydiff.domains.sequence.alphabet import Alphabet

TOLERANCE = 1e-6
"""Largest distance from 1 of the sum of the frequencies."""


class SequenceStatistics(Statistics):
    """Statistics of texts: the alphabet, the letters of an example, and the share of each letter in training."""

    letters: Annotated[str, Field(min_length=1)]
    ends: bool
    tokens: Literal["characters", "bytes"]
    length: Annotated[int, Field(ge=2, le=2**16)]
    frequencies: list[Annotated[float, Field(ge=0, le=1)]]
    conditions: FieldStatistics
    profiles: ProfileStatistics = ProfileStatistics({})

    @model_validator(mode="after")
    def _an_alphabet(self) -> Self:
        self.profiles.check(self.conditions)
        size = Alphabet(self.letters, self.ends).size
        if list(self.letters) != sorted(set(self.letters)):
            raise ValueError("letters should be different characters in the order of their code points")
        if size < 2:
            raise ValueError("letters should hold two or more, the end letter included")
        if self.tokens == "bytes" and max(self.letters) > "\xff":
            raise ValueError("letters holds one that is no byte")
        if len(self.frequencies) != size or abs(sum(self.frequencies) - 1) > TOLERANCE:
            raise ValueError(f"frequencies should be {size} numbers with the sum 1")
        return self
