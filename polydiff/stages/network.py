"""The network that suits codes, in place of one for the states of the domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

WIDTH = {1: 128, 2: 64}
"""Dimensions of codes -> channels of the finest level of a U-Net."""
COARSEST = {1: 64, 2: 8}
"""Dimensions of codes -> places along an axis of the coarsest level of a U-Net, about."""
MOST_ATTENDED = 256
"""Largest number of places of a level with attention."""


def network_of_codes(name: str, shape: Sequence[int]) -> Mapping[str, Any]:
    """Return keys of a network for codes; {} for one that needs none.

    A code has few places and many channels, so a network needs no patches, and few levels.

    Arguments:
        name: Name of the backbone.
        shape: Channels and sizes of a code.
    """
    sizes = shape[1:]
    if name == "dit":
        return {"backbone.patch": 1}
    if name != "unet":
        return {}
    dims, side = len(sizes), max(sizes)
    levels = 2
    while side / 2 ** (levels - 1) > 2 * COARSEST[dims] and levels < 4:
        levels += 1
    places = [max(1, round(side / 2**level)) ** dims for level in range(levels)]
    return {
        "backbone.patch": 1,
        "backbone.ends": 0,
        "backbone.channels": WIDTH[dims],
        "backbone.mult": (1, *(2,) * (levels - 1)),
        "backbone.strides": (),
        "backbone.blocks": 2,
        "backbone.coordinates": dims == 2,
        "backbone.attention": tuple(level for level, n in enumerate(places) if n <= MOST_ATTENDED),
    }
