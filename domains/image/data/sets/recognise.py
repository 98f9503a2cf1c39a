"""Which reader reads a path: that of a distributed data set, by its files' names, or that of folders of images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data.folder import folder
from polydiff.domains.image.data.sets import arrays, arrow, cars, cifar, idx
from polydiff.domains.image.data.source import Source

Reader = Callable[[ImageData], Source]

LAYOUTS: tuple[tuple[Callable[[Path], bool], Reader], ...] = (
    (cifar.recognises, cifar.read),
    (idx.recognises, idx.read),
    (cars.recognises, cars.read),
    (arrow.recognises, arrow.read),
    (arrays.recognises, arrays.read),
)
"""Pairs (whether a path has the layout, what reads it). The first that fits is taken."""


def reader_of(data: ImageData) -> Reader:
    """Return what reads `data.path`. With `data.rules=1`, all paths are folders of images."""
    assert data.path is not None
    if data.rules < 2:
        return folder
    return next((read for recognises, read in LAYOUTS if recognises(data.path)), folder)
