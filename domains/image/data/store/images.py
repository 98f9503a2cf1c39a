"""Decoded images of a data set, with what their files say, in memory or in a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polydiff.domains.image.data.files import Facts


class Decoded(NamedTuple):
    """An image as it was read: uint8 (C, H, W), what its file says, and a digest of its pixels."""

    image: Tensor
    facts: Facts
    digest: bytes


class Entry(NamedTuple):
    """A stored image.

    Attributes:
        row: Its place among the stored images.
        shape: (C, H, W).
        facts: What its file says of itself.
        digest: Digest of shape and pixels.
    """

    row: int
    shape: tuple[int, int, int]
    facts: Facts
    digest: bytes


@dataclass(frozen=True)
class OnDisk(Sequence[Tensor]):
    """Images in a file, uint8 (C, H, W) each, copied to memory on access.

    Arguments:
        pixels: All bytes of the file, mapped to memory.
        offsets: First byte of each image, (N,).
        shapes: Shape of each image, (N, 3).
    """

    pixels: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    shapes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Tensor]: ...
    def __getitem__(self, index: int | slice) -> Tensor | Sequence[Tensor]:
        if isinstance(index, slice):
            return self.rows(range(*index.indices(len(self))))
        start, shape = int(self.offsets[index]), tuple(self.shapes[index].tolist())
        return torch.from_numpy(np.array(self.pixels[start : start + prod(shape)])).reshape(shape)

    def rows(self, rows: Sequence[int]) -> OnDisk:
        """Return some of the images, in this order."""
        return OnDisk(self.pixels, self.offsets[list(rows)], self.shapes[list(rows)])


@dataclass
class Store:
    """All images of a data set that could be decoded.

    Arguments:
        images: The images.
        entries: Name -> stored image.
        reasons: Name -> why an image could not be read.
        unopened: Names in `reasons` whose files could not be opened, which may succeed later.
    """

    images: Sequence[Tensor] = ()
    entries: dict[str, Entry] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    unopened: list[str] = field(default_factory=list)

    def add(self, name: str, result: Decoded | Exception) -> None:
        """Record the next image, or the error that it raised."""
        if isinstance(result, Decoded):
            channels, height, width = result.image.shape
            self.entries[name] = Entry(len(self.entries), (channels, height, width), result.facts, result.digest)
            return
        self.reasons[name] = f"{type(result).__name__}: {result}"
        if isinstance(result, OSError) and result.errno is not None:
            self.unopened.append(name)

    def select(self, names: Iterable[str]) -> Sequence[Tensor]:
        """Return the images of these names."""
        rows = [self.entries[name].row for name in names]
        return self.images.rows(rows) if isinstance(self.images, OnDisk) else [self.images[row] for row in rows]
