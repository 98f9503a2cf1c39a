"""Apply functions to many clips in chunks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

CHUNK, NUMBERS = 256, 2**23
"""Upper bounds of a chunk: clips, and values in all of them."""


def each(function: Callable[[Tensor], Tensor], sounds: Sequence[Tensor] | Tensor) -> Tensor:
    """Return function(clips) for clips (C, T) that may differ in length, in their order, shape (B, ...).

    The function maps clips (B, C, T) of one length to (B, ...).
    """
    places: dict[torch.Size, list[int]] = defaultdict(list)
    for i, sound in enumerate(sounds):
        places[sound.shape].append(i)
    parts = [part for shape, same in places.items() for part in torch.tensor(same).split(chunk(shape.numel()))]
    done = torch.cat([function(torch.stack([sounds[i] for i in part.tolist()])) for part in parts])
    return done[torch.cat(parts).argsort()]


def chunk(numbers: int) -> int:
    """Return the number of clips in a chunk, for clips of `numbers` values each."""
    return min(CHUNK, max(NUMBERS // max(numbers, 1), 1))
