"""The statistics in an image checkpoint: their types and ranges, and how they are measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from polydiff.contract import fields
from polydiff.contract.conditions.profiles import profiles_of
from polydiff.contract.data.columns import LABEL
from polydiff.contract.data.noise_range import PRINCIPAL
from polydiff.contract.data.statistics import Count, FieldStatistics, ProfileStatistics, Statistics, check_classes
from polydiff.domains.image.codec import Standardise
from polydiff.domains.image.greys import Greys
from polydiff.metrics.principal import principal_std

if TYPE_CHECKING:
    from polydiff.domains.image.config import ImageData
    from polydiff.domains.image.data.source import Source, Split

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
    profiles: ProfileStatistics = ProfileStatistics({})

    @model_validator(mode="after")
    def _drawable(self) -> Self:
        if self.conditions is None and not {"names", "counts"} <= self.model_fields_set:
            raise ValueError("conditions is missing")
        check_classes(self.names, self.counts)
        self.profiles.check(self.conditions)
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


def conditions_of(split: Split, names: Sequence[str], index: int) -> dict[str, Any]:
    """Return the conditions of an image of a split, its class included, in the user's words."""
    label = int(split.labels[index]) if names else -1
    own = {LABEL: names[label]} if label >= 0 else {}
    return own | dict(split.values[index] if split.values else {})


def measured(source: Source, data: ImageData, letters: bool) -> dict[str, Any]:
    """Return the statistics of the training images.

    Arguments:
        source: The data set.
        data: How it is read.
        letters: Whether states are letters, whose levels are measured too.
    """
    train, names = source.splits["train"], source.names
    images = train.centred(few(train, MEASURED))
    codec = Standardise.measure(images) if data.standardise else Standardise((0.0,) * data.planes, 1.0)
    known: dict[str, fields.Field] = dict(source.fields)
    if names:
        labels = train.labels[train.labels >= 0]
        known = {LABEL: fields.Labels(names, tuple(labels.bincount(minlength=len(names)).tolist())), **known}
    own: dict[str, Any] = {"mean": list(codec.mean), "std": codec.std, "conditions": fields.to_json(known)}
    if profiles := profiles_of(known, partial(conditions_of, train, names), [1] * len(train)):
        own["profiles"] = profiles
    if letters:
        greys = Greys.measure(images, data.greys)
        own |= {"greys": list(greys.values), "frequencies": list(greys.frequencies)}
    return own | {PRINCIPAL: principal_std(codec.encode(train.centred(few(train, MOST))).flatten(1))}
