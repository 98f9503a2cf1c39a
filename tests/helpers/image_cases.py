"""Noise as images."""

from __future__ import annotations

from polydiff.contract.domain import Samples
from polydiff.core.streams import streams
from polydiff.domains.image.domain import Image


def noise(image: Image, n: int) -> Samples:
    space, cond = image.blank(streams(0, "blank", range(n)), {})
    return Samples(image.decode(space.noise(streams(0, "noise", range(n))), space), cond)
