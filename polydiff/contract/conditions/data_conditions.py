"""Conversion of a data set's conditions between the user's values and tensors."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from polydiff.contract.conditions.profiles import Profiles, Values
from polydiff.contract.fields import Field, Labels, to_json
from polydiff.contract.text.captions import Captions
from polydiff.core.conditions import Condition, Kind
from polydiff.support.errors import amount, unknown


@dataclass(frozen=True)
class DataConditions:
    """The conditions of a data set.

    Arguments:
        fields: Name of a condition -> its field, measured on the training data.
        profiles: Values of training examples (`polydiff.contract.conditions.profiles`), from which those of new samples
            are drawn together; {}: each is drawn by its field.
    """

    fields: Mapping[str, Field]
    profiles: Values = dataclass_field(default_factory=dict)

    @cached_property
    def known(self) -> Profiles:
        """The profiles."""
        return Profiles(self.fields, self.profiles)

    @property
    def kinds(self) -> dict[str, Kind]:
        """Name of a condition -> its kind."""
        return {name: field.kind for name, field in self.fields.items()}

    def class_names(self, name: str) -> Sequence[str]:
        """Return the class names of a condition, () if it is not a class."""
        field = self.fields.get(name)
        return field.names if isinstance(field, Labels) else ()

    def warn_of_unknown(self, measured: Mapping[str, Field]) -> None:
        """Warn if the vocabulary of training lacks words of the captions of other data.

        Arguments:
            measured: The conditions as they are measured on these data.
        """
        for name, field in self.fields.items():
            other = measured.get(name)
            lacking = field.lacking(other) if isinstance(field, Captions) and isinstance(other, Captions) else ""
            if lacking:
                warnings.warn(
                    f"The vocabulary of {name} is that of the checkpoint: {lacking}. Only a run without train.init "
                    "learns another.",
                    stacklevel=2,
                )

    def encode(self, values: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Return the metadata of B examples as tensors (B, ...), by condition."""
        return {name: field.encode([row.get(name) for row in values]) for name, field in self.fields.items()}

    def encode_others(self, values: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Return the metadata of other data as `encode` does, and warn of words that the captions of training lack."""
        for name, field in self.fields.items():
            if isinstance(field, Captions):
                texts = [str(row[name]) for row in values if row.get(name)]
                lacking = [words for text in texts if (words := field.tokenizer.unknown(text))]
                if lacking:
                    warnings.warn(
                        f"Words that training lacks are read as unknown; {len(lacking)} of "
                        f"{amount(len(texts), 'caption')} ({name}) hold some, such as {lacking[0][0]!r}.",
                        stacklevel=3,
                    )
        return self.encode(values)

    def as_json(self) -> dict[str, Any]:
        """Return fields and profiles as JSON, for a program without polydiff."""
        return {"conditions": to_json(self.fields), **({"examples": dict(self.profiles)} if self.profiles else {})}

    def draw(self, generators: Sequence[torch.Generator], requested: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the conditions of new samples, drawn with their frequencies in training unless requested.

        With profiles, a sample has the values of one training example, which suits what is requested.

        Arguments:
            generators: One for each of B samples.
            requested: Name of a condition -> the user's value for all samples.

        Returns:
            Name -> tensor (B, ...).

        Raises:
            UserError: A name or a value is unknown.
        """
        for name in requested:
            if name not in self.fields:
                raise unknown("condition", name, self.fields)
        wanted = {name: self.request(name, value, len(generators)) for name, value in requested.items()}
        return self.drawn(generators, requested) | wanted

    def drawn(self, generators: Sequence[torch.Generator], requested: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return all conditions of new samples, those that are requested included; arguments as of `draw`."""
        if not self.profiles:
            return {name: field.draw(generators) for name, field in self.fields.items()}
        like = self.known.like(requested)
        places = torch.arange(len(next(iter(self.profiles.values()))))
        if like is not None:
            places = places[like]
        rows = self.known.at([int(places[torch.randint(len(places), (), generator=g)]) for g in generators])
        return self.encode(rows)

    def request(self, name: str, value: Any, n: int) -> Tensor:
        """Return the condition of n samples for a user's value, shape (n, ...)."""
        return self.fields[name].request(name, value, n)

    def describe(self, cond: Condition) -> list[dict[str, Any]]:
        """Return each sample's conditions as values for the user."""
        n = len(next(iter(cond.values()), ()))
        columns = {name: field.words(cond[name]) for name, field in self.fields.items() if name in cond}
        return [{name: column[i] for name, column in columns.items()} for i in range(n)]
