"""Types and ranges of the statistics in an image checkpoint, and on how many images they are measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from polydiff.contract.data.statistics import Count, FieldStatistics, Statistics, check_classes

if TYPE_CHECKING:
    from polydiff.domains.image.data.source import Split

MEASURED = 10_000
"""Largest number of training images on which statistics are measured."""
MOST_IMAGES, MOST_NUMBERS = 1000, 2**24
"""Largest number of images for the principal standard deviation, and of their numbers together."""
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

    @model_validator(mode="after")
    def _drawable(self) -> Self:
        if self.conditions is None and not {"names", "counts"} <= self.model_fields_set:
            raise ValueError("conditions is missing")
        check_classes(self.names, self.counts)
        return self


def for_principal_std(train: Split) -> list[int]:
    """Return the indices of the images on which the principal standard deviation is measured."""
    pixels = train.images[0].shape[0] * train.size**2
    return train.spread(min(MOST_IMAGES, max(MOST_NUMBERS // pixels, 64)))
