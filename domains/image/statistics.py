"""Types and ranges of the statistics in an image checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from polydiff.contract import fields
from polydiff.contract.data.columns import LABEL
from polydiff.contract.data.statistics import Count, FieldStatistics, Statistics, check_classes

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


def fields_in(statistics: Mapping[str, Any]) -> dict[str, fields.Field]:
    """Return the fields in a run's statistics; older runs store only the classes, in keys of their own."""
    if "conditions" in statistics:
        return fields.from_json(statistics["conditions"])
    label = fields.Labels(tuple(statistics["names"]), tuple(statistics["counts"]))
    return {LABEL: label} if label.names else {}
