"""The network that suits codes, in place of one for the states of the domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

WIDTH = 64
"""Channels of the finest level of a U-Net."""
BLOCKS = {1: 1, 2: 2}
"""Dimensions of codes -> blocks of each level of a U-Net; codes of sounds have many places."""
COARSEST = {1: 64, 2: 8}
"""Dimensions of codes -> places along an axis of the coarsest level of a U-Net, about."""
MOST_LEVELS = 4
"""Largest number of levels of a U-Net."""
MOST_ATTENDED = 256
"""Largest number of places of a level with attention."""


def network_of_codes(name: str, preset: str, shape: Sequence[int]) -> list[dict[str, Any]]:
    """Return keys of a network for codes, in groups that belong together; [] for a network that needs none.

    A code has few places and many channels, so a network needs no patches, and few levels.

    Arguments:
        name: Name of the backbone.
        preset: Name of the preset; with "quick", a transformer becomes one for a CPU.
        shape: Channels and sizes of a code.
    """
    sizes = shape[1:]
    dims, side = len(sizes), max(sizes)
    places: dict[str, Any] = {"backbone.coordinates": dims == 2}
    if name == "dit":
        small = {"backbone.width": 128, "backbone.depth": 6, "backbone.heads": 4}
        return [{"backbone.patch": 1}, places, *([small] if preset == "quick" else [])]
    if name != "unet":
        return []
    levels = 2
    while side / 2 ** (levels - 1) > 2 * COARSEST[dims] and levels < MOST_LEVELS:
        levels += 1
    counts = [max(1, round(side / 2**level)) ** dims for level in range(levels)]
    grid: dict[str, Any] = {
        "backbone.patch": 1,
        "backbone.ends": 0,
        "backbone.spectral_window": 0,
        "backbone.spectral_long_window": 0,
        "backbone.mult": (1, *(2,) * (levels - 1)),
        "backbone.strides": (),
        "backbone.attention": tuple(level for level, n in enumerate(counts) if n <= MOST_ATTENDED),
    }
    return [grid, {"backbone.channels": WIDTH}, {"backbone.blocks": BLOCKS[dims]}, places]
