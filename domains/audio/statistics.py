"""Types and ranges of the statistics in a checkpoint of sounds."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from polydiff.contract.data.statistics import (
    Count,
    FieldStatistics,
    Positive,
    ProfileStatistics,
    Statistics,
    check_classes,
)
from polydiff.domains.audio.config import MelConfig

LOUDEST = 200.0
"""Largest absolute gain of a filter in dB."""
Gain = Annotated[float, Field(ge=-LOUDEST, le=LOUDEST)]


class FilterStatistics(Statistics):
    """Statistics of a codec: the level of the filtered sounds, and the gains of the filter; no gains: no filter."""

    std: Positive
    gains: list[Gain]

    @model_validator(mode="after")
    def _a_curve(self) -> Self:
        if len(self.gains) == 1:
            raise ValueError("gains should be none or at least two")
        return self


class MelDefinition(MelConfig):
    """A definition of mel spectrograms, without open entries."""

    sample_rate: Annotated[int, Field(ge=1, le=1_000_000)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        missing = [name for name, value in self if value is None]
        if missing:
            raise ValueError(f"{missing[0]} is missing")
        self.resolved(self.sample_rate)
        return self


class MelStatistics(Statistics):
    """Definition and scale of mel spectrograms."""

    definition: MelDefinition
    mean: list[float]
    std: Positive

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        if len(self.mean) != self.definition.bands:
            raise ValueError(f"mean has {len(self.mean)} numbers, but there are {self.definition.bands} bands")
        return self


class AudioStatistics(FilterStatistics):
    """Statistics of sounds. Earlier versions stored at most one condition, in the three last keys."""

    conditions: FieldStatistics | None = None
    missing: FilterStatistics | None = None
    mel: MelStatistics | None = None
    condition: str | None = None
    names: list[str] = Field([])
    counts: list[Count] = Field([])
    profiles: ProfileStatistics = ProfileStatistics({})

    @model_validator(mode="after")
    def _drawable(self) -> Self:
        self.profiles.check(self.conditions)
        if self.conditions is None and self.condition:
            check_classes(self.names, self.counts)
        return self
