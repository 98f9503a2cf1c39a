"""Conditions measured on the data: class labels, numbers, and embeddings.

A field stands between a condition's values as people know them ("dog", 120 beats a minute, an array) and the tensors
that a network is given. It is measured once, on the training data, and kept as JSON with the codec's statistics.

Symbols: B samples, N tokens.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from polydiff.contract.data.arrays import checked_vectors, read_array
from polydiff.contract.data.statistics import FieldStatistics, check_statistics
from polydiff.contract.text.captions import Captions
from polydiff.contract.text.encoded import EncodedText
from polydiff.core.conditions import ANY, Classes, Kind, Number, Tokens, given
from polydiff.support.errors import UserError, amount, unknown

KEPT = 1000
"""Most training values of a number that are kept, evenly spaced in rank, to draw new ones from."""

EXACT = 1e15
"""Whole numbers below this are exact."""


class Field(Protocol):
    """One condition of a data set."""

    @property
    def kind(self) -> Kind:
        """What a network needs to know of it."""

    def encode(self, values: Sequence[Any]) -> Tensor:
        """Return values of the data, None if missing, as a condition (B, ...): -1 or NaN if missing."""

    def draw(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Return the condition of new samples, one a generator, as it occurs in training."""

    def request(self, name: str, wanted: Any, n: int) -> Tensor:
        """Return a requested value as the condition of n samples; raise UserError if it is not a valid value."""

    def words(self, cond: Tensor) -> list[Any]:
        """Return each sample's value in the user's words."""


@dataclass(frozen=True)
class Labels:
    """One of a few words: (B,) whole numbers, drawn as often as they occur.

    Arguments:
        names: The words, in order.
        counts: How often each occurs in training.
    """

    type: ClassVar[str] = "classes"
    names: tuple[str, ...]
    counts: tuple[int, ...]

    @classmethod
    def measure(cls, values: Sequence[str | None], weights: Sequence[int]) -> Self:
        """Return the classes of examples that occur in training so often: 0 for those held out."""
        names = tuple(sorted({value for value in values if value is not None}))
        counts = dict.fromkeys(names, 0)
        for value, weight in zip(values, weights, strict=True):
            if value is not None:
                counts[value] += weight
        return cls(names, tuple(counts.values()))

    @property
    def kind(self) -> Classes:
        return Classes(len(self.names))

    @cached_property
    def places(self) -> dict[str, int]:
        """Each word's class."""
        return {name: place for place, name in enumerate(self.names)}

    def encode(self, values: Sequence[Any]) -> Tensor:
        places = [self.kind.missing if value is None else self.places[value] for value in values]
        return torch.tensor(places, dtype=self.kind.dtype)

    def draw(self, generators: Sequence[torch.Generator]) -> Tensor:
        counts = torch.tensor(self.counts, dtype=torch.float64)
        return torch.cat([torch.multinomial(counts, 1, generator=g) for g in generators])

    def request(self, name: str, wanted: Any, n: int) -> Tensor:
        word = str(wanted)
        if word not in (*self.names, ANY):
            raise unknown(name, word, self.names)
        return self.encode([None if word == ANY else word] * n)

    def words(self, cond: Tensor) -> list[Any]:
        return [ANY if place == self.kind.missing else self.names[place] for place in cond.tolist()]


@dataclass(frozen=True)
class Real:
    """A number: (B,), standardised for the network, in the data's units for people.

    Arguments:
        mean: Of the training data.
        std: Of the training data; 1 of what does not vary.
        values: Numbers of the training data, evenly spaced in rank, from which new ones are drawn.
    """

    type: ClassVar[str] = "real"
    mean: float
    std: float
    values: tuple[float, ...]

    @classmethod
    def measure(cls, values: Sequence[float | None], weights: Sequence[int]) -> Self:
        """Return the field of numbers that occur in training so often: 0 for those held out."""
        known = [(v, w) for v, w in zip(values, weights, strict=True) if v is not None and w > 0]
        numbers, often = (np.array(column, dtype=np.float64) for column in zip(*sorted(known), strict=True))
        mean = float(np.average(numbers, weights=often))
        std = float(np.sqrt(np.average((numbers - mean) ** 2, weights=often)))
        ranks = (np.arange(min(KEPT, len(numbers))) + 0.5) / min(KEPT, len(numbers))
        chosen = numbers[np.searchsorted(often.cumsum(), ranks * often.sum())]
        varies = std > 1e-6 * max(1.0, abs(mean))
        return cls(mean, std if varies else 1.0, tuple(chosen.tolist()))

    @property
    def kind(self) -> Number:
        return Number()

    def encode(self, values: Sequence[Any]) -> Tensor:
        numbers = torch.tensor([self.kind.missing if v is None else v for v in values], dtype=torch.float64)
        return ((numbers - self.mean) / self.std).float()

    def draw(self, generators: Sequence[torch.Generator]) -> Tensor:
        return self.encode([self.values[int(torch.randint(len(self.values), (), generator=g))] for g in generators])

    def request(self, name: str, wanted: Any, n: int) -> Tensor:
        value = number(name, wanted)
        warn_if_far(name, value, self.values, self.std)
        return self.encode([value] * n)

    def words(self, cond: Tensor) -> list[Any]:
        numbers = (self.mean + self.std * cond.double()).tolist()
        return [ANY if math.isnan(value) else rounded(value) for value in numbers]


def rounded(value: float) -> float:
    """Return a number to five digits; as a whole number if it is one."""
    near = float(f"{value:.5g}")
    return int(near) if near.is_integer() and abs(near) < EXACT else near


@dataclass(frozen=True)
class Embedding:
    """Vectors that somebody computed, of a text say: (B, N, width), divided by one number; NaN beyond a sample's own.

    New samples have none unless it is requested.

    Arguments:
        width: Numbers of a vector.
        longest: Most vectors of an example; shorter ones are padded to it.
        scale: Root mean square of the training data's numbers.
    """

    type: ClassVar[str] = "embedding"
    width: int
    longest: int
    scale: float

    @property
    def kind(self) -> Tokens:
        return Tokens(self.width)

    def encode(self, values: Sequence[Any]) -> Tensor:
        arrays = [None if value is None else torch.as_tensor(value, dtype=torch.float32) for value in values]
        cond = self.kind.blank(len(values)).repeat(1, self.length(arrays), 1)
        for row, value in zip(cond, arrays, strict=True):
            if value is not None:
                vectors = value.reshape(-1, self.width)
                row[: len(vectors)] = vectors / self.scale
        return cond

    def length(self, arrays: Sequence[Tensor | None]) -> int:
        """Return N of a batch: as many as any training example has, or more where one is longer."""
        return max([self.longest, *(value.numel() // self.width for value in arrays if value is not None)])

    def draw(self, generators: Sequence[torch.Generator]) -> Tensor:
        return self.encode([None] * len(generators))

    def request(self, name: str, wanted: Any, n: int) -> Tensor:
        if isinstance(wanted, str) and wanted == ANY:
            return self.encode([None] * n)
        if isinstance(wanted, str):
            array = read_array(Path(wanted), Path(wanted))
            return self.encode([checked_vectors(array, f"{name}={wanted}", self.width)] * n)
        array = wanted.detach().cpu().float().numpy() if isinstance(wanted, Tensor) else np.asarray(wanted)
        return self.encode([checked_vectors(array, name, self.width)] * n)

    def words(self, cond: Tensor) -> list[Any]:
        lengths = given(cond).all(2).sum(1).tolist()
        return [amount(n, "vector") if n else ANY for n in lengths]


TYPES: Mapping[str, Callable[..., Field]] = {
    field.type: field for field in (Labels, Real, Embedding, Captions, EncodedText)
}


def to_json(fields: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return fields as JSON: name -> {"type": "classes", "names": [...], "counts": [...]}, say."""
    plain = {name: {"type": field.type, **asdict(field)} for name, field in fields.items()}
    return {name: {key: list(v) if isinstance(v, tuple) else v for key, v in d.items()} for name, d in plain.items()}


def from_json(fields_json: Mapping[str, Mapping[str, Any]]) -> dict[str, Field]:
    """Return the fields that `to_json` wrote; ValueError for statistics that it cannot have written."""
    check_statistics(FieldStatistics, fields_json)

    def made(type: str, **values: Any) -> Field:
        field = TYPES[type](**{key: tuple(v) if isinstance(v, list) else v for key, v in values.items()})
        return field.checked() if isinstance(field, Captions) else field

    return {name: made(**values) for name, values in fields_json.items()}


def meanings(fields: Mapping[str, Field]) -> dict[str, Any]:
    """Return what must be the same for two data sets' conditions to mean the same.

    The vocabulary of captions is not compared: other data are read with that of training.
    """

    def meaning(field: Field) -> Any:
        match field:
            case Labels():
                return list(field.names)
            case Captions() | EncodedText():
                return field.type
        return field.kind

    return {name: meaning(field) for name, field in fields.items()}


def number(name: str, wanted: Any) -> float:
    """Return a requested number; NaN for any."""
    try:
        value = math.nan if wanted == ANY else float(wanted)
    except (TypeError, ValueError):
        value = math.inf
    if math.isinf(value):
        raise UserError(f"{name}={wanted} should be a number, or {ANY}.{decimal_comma(wanted)}")
    return value


def decimal_comma(wanted: object) -> str:
    """Return a sentence on the decimal point if a text has a decimal comma; "" if not."""
    return f" Write {text.replace(',', '.')}." if (text := str(wanted)).count(",") == 1 else ""


def warn_if_far(name: str, value: float, known: Sequence[float], std: float) -> None:
    """Warn if a requested number lies more than one standard deviation outside of the training data.

    Arguments:
        name: Name of the condition.
        value: The requested number; NaN: none.
        known: Numbers of the training data, in the same unit; NaN where one is missing.
        std: Their standard deviation.
    """
    present = [one for one in known if not math.isnan(one)]
    if present and not min(present) - std <= value <= max(present) + std and not math.isnan(value):
        warnings.warn(
            f"{name}={value:g} is far outside of the training data, whose values are {min(present):g} to "
            f"{max(present):g}. Samples will hardly have it.",
            stacklevel=2,
        )
