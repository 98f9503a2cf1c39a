"""Protocol of the data sources: the synthesiser, notes of instruments, or the user's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.fields import Field
from polydiff.domains.audio.config import AudioData

Values = Mapping[str, Any]
"""Metadata of a sound by condition: text, a number, an array (N, width), or None if absent."""


class Source(Protocol):
    """Numbered sounds of two splits, "train" and "test".

    Attributes:
        fields: Name of a condition -> its field, measured on the training split.
        profiles: Values of training examples by condition (`polydiff.contract.conditions.profiles`).
        quarantine: Sounds found and excluded, with reasons; None for synthesised sounds.
    """

    @property
    def fields(self) -> Mapping[str, Field]: ...

    @property
    def profiles(self) -> Mapping[str, Sequence[Any]]: ...

    @property
    def quarantine(self) -> Quarantine | None: ...

    def size(self, split: str) -> int:
        """Return the number of examples of a split."""

    def clips(
        self, split: str, indices: Sequence[int], generators: Sequence[torch.Generator] | None = None
    ) -> tuple[Tensor, Sequence[Values]]:
        """Return sounds (B, C, T) with full scale 1, and the metadata of each.

        Arguments:
            split: "train" or "test".
            indices: Indices of B examples.
            generators: One for each example, from which its crop is drawn; None: fixed crops.
        """


def open_source(data: AudioData) -> Source:
    """Return the data source of a configuration."""
    if data.name == "plucks":
        from polydiff.domains.audio.data.plucks import Plucks

        sizes = {"train": data.n_train, "test": data.n_test}
        plucks = Plucks(data.sample_rate, data.length, data.classes, sizes, data.seed, channels=data.channels)
        return plucks if data.per_class is None else plucks.with_few(data)
    from polydiff.domains.audio.data.folder import Folder

    if data.name == "instruments":
        from polydiff.domains.audio.data.instruments import CONDITIONS, instruments

        data = data.model_copy(update={"path": instruments(), "conditions": data.conditions or CONDITIONS})
    return Folder(data)
