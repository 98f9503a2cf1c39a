"""Types and ranges of the statistics in an image checkpoint, and on how many images they are measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from polydiff.contract import fields
from polydiff.contract.data.columns import LABEL
from polydiff.contract.data.statistics import Count, FieldStatistics, Statistics, check_classes

if TYPE_CHECKING:
    from polydiff.domains.image.data.source import Split

MEASURED = 10_000, 2**27
"""Largest number of training images on which mean and std are measured, and of their numbers together."""
MOST = 1000, 2**24
"""The same for the principal standard deviation."""
Unit = Annotated[float, Field(ge=-1, le=1)]


class ImageStatistics(Statistics):
    """Statistics of images in [-1, 1].

    Checkpoints of earlier versions have at most classes, as `names` and `counts`, in place of `conditions`; still
    earlier ones lack `principal_std`.
    """

    mean: Annotated[list[Unit], Field(min_length=1)]
    std: Annotated[float, Field(gt=0, le=2)]
    conditions: FieldStatistics | None = None
    names: list[str] = Field([])
    counts: list[Count] = Field([])
    principal_std: Annotated[float, Field(ge=0)] | None = None
    greys: Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=2)] | None = None
    frequencies: list[Annotated[float, Field(ge=0, le=1)]] = Field([])

    @model_validator(mode="after")
    def _drawable(self) -> Self:
        if self.conditions is None and not {"names", "counts"} <= self.model_fields_set:
            raise ValueError("conditions is missing")
        check_classes(self.names, self.counts)
        if self.greys is not None and len(self.greys) != len(self.frequencies):
            raise ValueError(f"greys has {len(self.greys)} levels, frequencies {len(self.frequencies)}")
        return self


def fields_in(statistics: Mapping[str, Any]) -> dict[str, fields.Field]:
    """Return the fields in a run's statistics; older runs store only the classes, in keys of their own."""
    if "conditions" in statistics:
        return fields.from_json(statistics["conditions"])
    label = fields.Labels(tuple(statistics["names"]), tuple(statistics["counts"]))
    return {LABEL: label} if label.names else {}


def few(train: Split, most: tuple[int, int]) -> list[int]:
    """Return the indices of images on which statistics are measured: at most so many, with so many numbers together."""
    pixels = train.images[0].shape[0] * train.size**2
    return train.spread(min(most[0], max(most[1] // pixels, 64)))
