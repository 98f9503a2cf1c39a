"""Conversion of a data set's conditions between the user's values and tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polydiff.contract.fields import Field, Labels, from_json
from polydiff.core.conditions import Condition
from polydiff.domains.audio.data.plucks import note_name
from polydiff.domains.audio.data.source import Values
from polydiff.support.errors import unknown

FLATS = {"DB": "C#", "EB": "D#", "GB": "F#", "AB": "G#", "BB": "A#"}


@dataclass(frozen=True)
class DataConditions:
    """The conditions of a data set.

    Arguments:
        fields: Name of a condition -> its field, measured on the training data.
    """

    fields: Mapping[str, Field]

    @classmethod
    def of(cls, statistics: Mapping[str, Any]) -> DataConditions:
        """Return the conditions in a run's statistics; older runs store at most one, in separate keys."""
        if "conditions" in statistics or not statistics["condition"]:
            return cls(from_json(statistics.get("conditions", {})))
        one = {"type": "classes", "names": statistics["names"], "counts": statistics["counts"]}
        return cls(from_json({statistics["condition"]: one}))

    def class_names(self, name: str) -> Sequence[str]:
        """Return the class names of a condition, () if it is not a class."""
        field = self.fields.get(name)
        return field.names if isinstance(field, Labels) else ()

    def encode(self, values: Sequence[Values]) -> dict[str, Tensor]:
        """Return the metadata of B examples as tensors (B, ...), by condition."""
        return {name: field.encode([row.get(name) for row in values]) for name, field in self.fields.items()}

    def draw(self, generators: Sequence[torch.Generator], requested: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the conditions of new samples, drawn with their frequencies in training unless requested.

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
        drawn = {name: field.draw(generators) for name, field in self.fields.items()}
        return drawn | {name: self.named(name, value, len(generators)) for name, value in requested.items()}

    def named(self, name: str, value: Any, n: int) -> Tensor:
        """Return the condition of n samples for a user's value, shape (n, ...); notes may be C4, Db4 or MIDI 60."""
        note = midi_name(value) if name == "pitch" and isinstance(value, str) else value
        return self.fields[name].request(name, note if note in self.class_names(name) else value, n)

    def describe(self, cond: Condition) -> list[dict[str, Any]]:
        """Return each sample's conditions as values for the user."""
        n = len(next(iter(cond.values()), ()))
        columns = {name: field.words(cond[name]) for name, field in self.fields.items() if name in cond}
        return [{name: column[i] for name, column in columns.items()} for i in range(n)]


def midi_name(text: str) -> str:
    """Return the class name of a note, C#4 for 61, c#4 and Db4; other text unchanged."""
    if text.isascii() and text.isdecimal():
        return note_name(int(text))
    match = re.fullmatch(r"([A-Ga-g][#b]?)(\d)", text.strip())
    if not match:
        return text
    letter = match[1].upper()
    return FLATS.get(letter, letter) + match[2]
