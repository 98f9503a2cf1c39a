"""Places of examples' bytes: a file, a member of a tar archive, or a row of an array."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple


class Place(NamedTuple):
    """Location of bytes: `size` bytes from `offset` on (-1: the whole file), or row `row` of a .npy array."""

    path: Path
    offset: int = 0
    size: int = -1
    row: int = -1


class Region(io.RawIOBase):
    """A read-only file object of the bytes of a place.

    Arguments:
        place: The place.
        head: Bytes before those of the place.
        skip: Number of bytes at the beginning of the place that are left out.
    """

    def __init__(self, place: Place, head: bytes = b"", skip: int = 0) -> None:
        self.file: BinaryIO = place.path.open("rb")
        size = place.path.stat().st_size - place.offset if place.size < 0 else place.size
        self.head, self.begin, self.at = head, place.offset + skip, 0
        self.size = len(head) + max(0, size - skip)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size}[whence])
        return self.at

    def tell(self) -> int:
        return self.at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self.head[self.at : self.at + len(view)]
        if not data:
            self.file.seek(self.begin + self.at - len(self.head))
            data = self.file.read(max(0, min(len(view), self.size - self.at)))
        view[: len(data)] = data
        self.at += len(data)
        return len(data)

    def close(self) -> None:
        self.file.close()
        super().close()


def opened_bytes(place: Place) -> BinaryIO:
    """Return a file object of exactly the bytes of a place."""
    return place.path.open("rb") if place.size < 0 else io.BufferedReader(Region(place))
