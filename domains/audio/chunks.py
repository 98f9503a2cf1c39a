"""Functions of many clips, computed on a few at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

CHUNK, NUMBERS = 256, 2**23
"""Most clips computed at a time, and most numbers that they hold."""


def each(function: Callable[[Tensor], Tensor], sounds: Sequence[Tensor] | Tensor) -> Tensor:
    """Return a function of clips (B, C, T) on clips (C, T) that may differ in length, in their order."""
    places: dict[torch.Size, list[int]] = defaultdict(list)
    for i, sound in enumerate(sounds):
        places[sound.shape].append(i)
    parts = [part for shape, same in places.items() for part in torch.tensor(same).split(chunk(shape.numel()))]
    done = torch.cat([function(torch.stack([sounds[i] for i in part.tolist()])) for part in parts])
    return done[torch.cat(parts).argsort()]


def chunk(numbers: int) -> int:
    """Return how many clips of so many numbers are measured at a time."""
    return min(CHUNK, max(NUMBERS // max(numbers, 1), 1))
