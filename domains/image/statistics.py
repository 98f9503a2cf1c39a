"""Types and ranges of the statistics in an image checkpoint."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from polydiff.contract.data.statistics import Count, Statistics, check_classes

Unit = Annotated[float, Field(ge=-1, le=1)]


class ImageStatistics(Statistics):
    """Statistics of images in [-1, 1]; without classes, `names` and `counts` are empty.

    Checkpoints of earlier versions lack `principal_std`.
    """

    mean: Annotated[list[Unit], Field(min_length=1)]
    std: Annotated[float, Field(gt=0, le=2)]
    names: list[str]
    counts: list[Count]
    principal_std: Annotated[float, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _drawable(self) -> Self:
        check_classes(self.names, self.counts)
        return self
