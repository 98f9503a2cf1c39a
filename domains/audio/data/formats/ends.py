"""Ends of files: WAV and AIFF files shorter than their header states, and Ogg files without an end.

libsndfile reads all of these without an error, up to where the file ends.
"""

from __future__ import annotations

import io
from typing import BinaryIO, Literal

SHARE = 0.01
"""Share of the samples that may be missing; some programs count other bytes of the file as well."""
OPEN_ENDED = 0x7FFF0000
"""Sizes from here on, in bytes, are written by programs that do not know the size in advance."""
SAMPLES: dict[bytes, tuple[bytes, Literal["little", "big"]]]
SAMPLES = {b"RIFF": (b"data", "little"), b"FORM": (b"SSND", "big")}
"""First bytes of a file -> name of the chunk of samples, and byte order."""
FIRST, LAST = 2, 4
"""Flags of the first and the last page of an Ogg stream."""


def missing_bytes(file: BinaryIO) -> int:
    """Return how many bytes of samples a WAV or AIFF file lacks, by its header; 0 for other files."""
    total = file.seek(0, io.SEEK_END)
    file.seek(0)
    opening = file.read(12)
    if opening[:4] not in SAMPLES or opening[8:] not in (b"WAVE", b"AIFF", b"AIFC"):
        return 0
    samples, order = SAMPLES[opening[:4]]
    at = 12
    while at + 8 <= total:
        file.seek(at)
        name, size = file.read(4), int.from_bytes(file.read(4), order)
        if name == samples:
            missing = at + 8 + size - total
            return missing if missing > SHARE * size and size < OPEN_ENDED else 0
        at += 8 + size + size % 2
    return 0


def ogg_faults(file: BinaryIO) -> set[str]:
    """Return "cut" if an Ogg file ends before its stream does, and "chained" if it contains several streams in a row.

    The result is empty for other files. Streams that begin together, such as sound and pictures, are no chain.
    """
    total = file.seek(0, io.SEEK_END)
    at, flags, faults = 0, LAST, set()
    while at < total:
        file.seek(at)
        page = file.read(27 + 255)
        if page[:4] != b"OggS" or len(page) < 27:
            break
        if page[5] & FIRST and not flags & FIRST and at:
            faults.add("chained")
        flags = page[5]
        at += 27 + page[26] + sum(page[27 : 27 + page[26]])
    if at and (at > total or not flags & LAST):
        faults.add("cut")
    return faults
