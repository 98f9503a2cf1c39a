"""The clips of a data set: batches, and fixed random subsets of a split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from polydiff.contract.conditions.data_conditions import DataConditions
from polydiff.contract.fields import Field, meanings
from polydiff.core.streams import shuffled, streams
from polydiff.domains.audio.chunks import chunk
from polydiff.domains.audio.config import AudioData
from polydiff.domains.audio.data.source import Source, Values, open_source
from polydiff.support.errors import UserError

MEASURED = 2048
"""Number of training clips on which statistics are measured."""
MOST_NUMBERS = 2**26
"""Upper bound of the values in those clips, 256 MiB; long clips are fewer."""


@dataclass(frozen=True)
class Clips:
    """The clips of a data set, which is opened on first use.

    Arguments:
        data: The section `data` of the configuration.
        fields: Conditions of training, which those of the data must equal; None before training.
    """

    data: AudioData
    fields: Mapping[str, Field] | None = None

    @cached_property
    def source(self) -> Source:
        """The data set.

        Raises:
            UserError: The conditions of the data are not those of training.
        """
        source = open_source(self.data)
        if self.fields is not None and meanings(source.fields) != meanings(self.fields):
            raise UserError(
                f"The conditions in the data are not those of training: {meanings(source.fields)}, not "
                f"{meanings(self.fields)}. Restore the files of training, or start a new run."
            )
        DataConditions(self.fields or {}).warn_of_unknown(source.fields)
        return source

    def size(self, split: str) -> int:
        """Return the number of examples of a split."""
        return self.source.size(split)

    @cached_property
    def reference(self) -> Tensor:
        """A fixed random subset of the training clips, shape (N, C, T)."""
        n = min(MEASURED, max(MOST_NUMBERS // (self.data.channels * self.data.length), 2))
        indices = self.some("train", n)
        return self.known(indices)[0]

    def some(self, split: str, n: int) -> list[int]:
        """Return the indices of up to n examples of a split, in a fixed random order.

        The indices for a smaller n are a prefix of those for a larger n.
        """
        order = shuffled(self.data.seed, f"audio/{split}", self.size(split))
        return [int(order[i]) for i in range(min(n, len(order)))]

    def parts(self, split: str, n: int) -> Iterator[tuple[Tensor, list[Values]]]:
        """Yield chunks of a fixed random subset of a split: clips (B, C, T) and their metadata, up to n in all."""
        indices, step = self.some(split, n), chunk(self.data.channels * self.data.length)
        for part in (indices[i : i + step] for i in range(0, len(indices), step)):
            sounds, values = self.known(part) if split == "train" else self.source.clips(split, part)
            yield sounds, list(values)

    def known(self, indices: Sequence[int]) -> tuple[Tensor, Sequence[Values]]:
        """Return training clips (B, C, T) with which others are compared, and their metadata.

        Of a file that is longer than a clip, it is the same random clip in each call.
        """
        return self.source.clips("train", indices, streams(self.data.seed, "audio/reference", indices))
