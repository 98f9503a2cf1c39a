"""Conditions of sounds, in which the class of a pitch may be written as a note or as a MIDI number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polydiff.contract.conditions.data_conditions import DataConditions
from polydiff.contract.data.columns import LABEL
from polydiff.contract.fields import from_json
from polydiff.core.conditions import ANY, Condition
from polydiff.domains.audio.data.notes import midi_name


@dataclass(frozen=True)
class SoundConditions(DataConditions):
    """The conditions of sounds."""

    @classmethod
    def of(cls, statistics: Mapping[str, Any]) -> SoundConditions:
        """Return the conditions in a run's statistics; older runs store at most one, in separate keys."""
        if "conditions" in statistics or not statistics["condition"]:
            return cls(from_json(statistics.get("conditions", {})), statistics.get("profiles", {}))
        one = {"type": "classes", "names": statistics["names"], "counts": statistics["counts"]}
        return cls(from_json({statistics["condition"]: one}))

    def request(self, name: str, value: Any, n: int) -> Tensor:
        """Return the condition of n samples for a user's value, shape (n, ...); notes may be C4, Db4 or MIDI 60."""
        return super().request(name, self.named(name, value), n)

    def drawn(self, generators: Sequence[torch.Generator], requested: Mapping[str, Any]) -> dict[str, Tensor]:
        return super().drawn(generators, {name: self.named(name, value) for name, value in requested.items()})

    def named(self, name: str, value: Any) -> Any:
        """Return a user's value with the name of its class, C#4, in place of another name of the same note."""
        note = midi_name(value) if name == "pitch" and isinstance(value, str) else value
        return note if note in self.class_names(name) else value


def columns_of(cond: Condition | None, conditions: DataConditions, class_condition: str) -> list[dict[str, Any]]:
    """Return the columns of a data set of sounds: their conditions, of which one is the class, `LABEL`.

    Arguments:
        cond: Conditions of N sounds, (N, ...) by name; None: they have none, and the list is empty.
        conditions: What describes them.
        class_condition: Name of the condition that is the class; "": none.
    """
    rows = conditions.describe({n: v for n, v in (cond or {}).items() if n in conditions.fields})
    return [
        {LABEL if name == class_condition else name: value for name, value in row.items() if value != ANY}
        for row in rows
    ]
