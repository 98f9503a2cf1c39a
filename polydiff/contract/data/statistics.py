"""Checks of a domain's statistics, where they are measured and where they are read from a checkpoint.

A number that is not finite is an error in both cases. What a checkpoint holds may also be damaged in other ways: a
domain declares the types, lengths and ranges of its statistics as a subclass of `Statistics`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, RootModel, ValidationError, model_validator

from polydiff.support.errors import UserError
from polydiff.support.reading import Strict, first_problem

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0, lt=10**15)]
LARGEST_EMBEDDING = 2**26
"""Largest number of numbers in the embedding of an example."""


class Statistics(Strict):
    """Statistics of a domain, as its checkpoints hold them: JSON values, which are not converted."""

    model_config = ConfigDict(allow_inf_nan=False)


class LabelStatistics(Statistics):
    """Statistics of a condition of classes (`polydiff.contract.fields.Labels`)."""

    type: Literal["classes"] = "classes"
    names: list[str]
    counts: list[Count]

    @model_validator(mode="after")
    def _drawable(self) -> Self:
        check_classes(self.names, self.counts)
        return self


class RealStatistics(Statistics):
    """Statistics of a condition that is a number (`polydiff.contract.fields.Real`)."""

    type: Literal["real"]
    mean: float
    std: Positive
    values: Annotated[list[float], Field(min_length=1)]


class EmbeddingStatistics(Statistics):
    """Statistics of a condition that is an embedding (`polydiff.contract.fields.Embedding`)."""

    type: Literal["embedding"]
    width: Annotated[int, Field(ge=1)]
    longest: Count
    scale: Positive

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.width * max(self.longest, 1) > LARGEST_EMBEDDING:
            raise ValueError(f"{self.longest} vectors of width {self.width} are more than an example can hold")
        return self


Pair = Annotated[list[Count], Field(min_length=2, max_length=2)]


class TextStatistics(Statistics):
    """Statistics of a condition that is text (`polydiff.contract.text.captions.Captions`)."""

    type: Literal["text"]
    tokens: Literal["words", "bytes", "bpe"]
    vocabulary: list[str] | list[Pair]
    longest: Annotated[int, Field(ge=1, le=4096)]
    kept: Annotated[list[str], Field(min_length=1)]

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if self.tokens == "words":
            words = [word for word in self.vocabulary if isinstance(word, str)]
            if len(set(words)) < len(self.vocabulary):
                raise ValueError("vocabulary should hold different words")
            return self
        pairs: list[str | Pair] = [*self.vocabulary]
        for token, pair in enumerate(pairs, 256):
            if isinstance(pair, str) or max(pair) >= token:
                raise ValueError(f"vocabulary should hold pairs of earlier tokens, and token {token} is {pair!r}")
        return self


class EncodedTextStatistics(Statistics):
    """Statistics of a condition that a pretrained encoder reads (`polydiff.contract.text.encoded.EncodedText`)."""

    type: Literal["encoded_text"]
    folder: str
    digest: str
    width: Annotated[int, Field(ge=1, le=2**16)]
    longest: Annotated[int, Field(ge=1, le=4096)]
    scale: Positive
    kept: Annotated[list[str], Field(min_length=1)]


OneField = Annotated[
    LabelStatistics | RealStatistics | EmbeddingStatistics | TextStatistics | EncodedTextStatistics,
    Field(discriminator="type"),
]


class FieldStatistics(RootModel[dict[str, OneField]]):
    """Statistics of the conditions of a data set by name (`polydiff.contract.fields.to_json`)."""


class ProfileStatistics(RootModel[dict[str, list[str | float | None]]]):
    """Profiles of a data set (`polydiff.contract.conditions.profiles`)."""

    def check(self, conditions: FieldStatistics | None) -> None:
        """Raise ValueError unless the profiles are values that these conditions can have, as many of each."""
        known = conditions.root if conditions else {}
        for name, values in self.root.items():
            if name not in known:
                raise ValueError(f"profiles holds {name}, which is no condition")
            first, count = next(iter(self.root.items()))
            if len(values) != len(count) or not values:
                raise ValueError(f"profiles holds {len(values)} values of {name}, but {len(count)} of {first}")
            field = known[name]
            right = float if isinstance(field, RealStatistics) else str
            if any(not isinstance(value, right | None) for value in values):
                raise ValueError(f"profiles holds a value of {name} of another type")
            if isinstance(field, LabelStatistics) and not {*values} <= {None, *field.names}:
                raise ValueError(f"profiles holds a class of {name} that it does not have")


def check_classes(names: Sequence[str], counts: Sequence[int]) -> None:
    """Raise ValueError unless classes differ, each has a count, and some class occurs in training."""
    if len(set(names)) < len(names):
        raise ValueError("names holds a class twice")
    if len(counts) != len(names):
        raise ValueError(f"counts has {len(counts)} numbers, but names has {len(names)} classes")
    if names and not sum(counts):
        raise ValueError("counts should not all be 0")


def check_statistics(model: type[Statistics | FieldStatistics], statistics: Mapping[str, Any]) -> None:
    """Raise ValueError, which names the key, unless statistics from a checkpoint fit the model of a domain."""
    try:
        model.model_validate(statistics)
    except ValidationError as error:
        raise ValueError(first_problem(error)) from error


def check_finite(statistics: Mapping[str, Any], saved: bool = False) -> None:
    """Raise UserError if statistics contain NaN or an infinite number.

    Arguments:
        statistics: What a domain measured, as JSON values.
        saved: Whether they come from a checkpoint; the message then advises another one.
    """
    for name, value in numbers("", statistics):
        if not math.isfinite(value):
            if saved:
                raise UserError(f"The checkpoint's statistic {name} is {value}. The run is damaged; use another.")
            raise UserError(
                f"The statistic {name} of the training data is {value}, so nothing can be trained. Some examples are "
                "broken, or all are constant; `polydiff data check` with the same settings examines the data."
            )


def numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    """Yield (name, number) for each floating-point number in nested JSON values, such as ("missing.gains[2]", 0.5)."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from numbers(f"{name}.{key}" if name else str(key), part)
    elif isinstance(value, list | tuple):
        for i, part in enumerate(value):
            yield from numbers(f"{name}[{i}]", part)
    elif isinstance(value, float):
        yield name, value
