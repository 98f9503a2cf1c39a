"""Where sounds come from: the synthesiser, or a folder of files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from polydiff.contract.fields import Field
from polydiff.contract.quarantine import Quarantine
from polydiff.domains.audio.config import AudioData

Values = Mapping[str, Any]
"""What is said of a sound, by the name of the condition: a word, a number, or an array (N, width); None: nothing."""


class Source(Protocol):
    """Numbered sounds of two splits, "train" and "test".

    Attributes:
        fields: What a sound can be asked for, by name, as it occurs in training.
        quarantine: What was found and what of it is put aside; None where sounds are computed.
    """

    @property
    def fields(self) -> Mapping[str, Field]: ...

    @property
    def quarantine(self) -> Quarantine | None: ...

    def size(self, split: str) -> int:
        """Return the number of examples of a split."""

    def clips(
        self, split: str, indices: Sequence[int], generators: Sequence[torch.Generator] | None = None
    ) -> tuple[Tensor, Sequence[Values]]:
        """Return sounds (B, C, T) in full scale 1, and what is said of each.

        Crops are drawn from the example's generator; without generators they are the same at each call.
        """


def open_source(data: AudioData) -> Source:
    """Return the data set that a config names."""
    if data.name == "plucks":
        from polydiff.domains.audio.data.plucks import Plucks

        sizes = {"train": data.n_train, "test": data.n_test}
        return Plucks(data.sample_rate, data.length, data.classes, sizes, data.seed, channels=data.channels)
    from polydiff.domains.audio.data.folder import Folder

    return Folder(data)
