"""Where sounds come from: the synthesiser, or a folder of files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from polydiff.domains.audio.config import AudioData


class Source(Protocol):
    """Numbered sounds of two splits, "train" and "test".

    Attributes:
        condition: What a sound can be asked for: "pitch", "label", or "" for nothing.
        names: The classes' names.
    """

    @property
    def condition(self) -> str: ...

    @property
    def names(self) -> Sequence[str]: ...

    def size(self, split: str) -> int:
        """Return the number of examples of a split."""

    def counts(self) -> list[int]:
        """Return the number of training examples of each class."""

    def clips(
        self, split: str, indices: Sequence[int], generators: Sequence[torch.Generator] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return sounds (B, C, T) in full scale 1 and their classes (B,), -1 without classes.

        Crops are drawn from the example's generator; without generators they are the same at each call.
        """


def open_source(data: AudioData) -> Source:
    """Return the data set that a config names."""
    if data.name == "plucks":
        from polydiff.domains.audio.plucks import Plucks

        return Plucks(
            data.sample_rate, data.length, data.classes, {"train": data.n_train, "test": data.n_test}, data.seed
        )
    from polydiff.domains.audio.files import Folder

    return Folder(data)
