"""Where the things of scenes are: the pixels of each, by the words of captions that name it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from polydiff.domains.image.shapes.draw import Look
from polydiff.domains.image.shapes.render import coverage
from polydiff.domains.image.shapes.scene import UNITS, Scene


def masks(scene: Scene, look: Look, side: int) -> list[Tensor]:
    """Return the pixels of each thing that it covers by more than half, booleans (side, side)."""
    unit, found = side / UNITS, []
    for thing, width in zip(scene.things, look.widths, strict=True):
        x, y, wide = (np.array([unit * value]) for value in (thing.x, thing.y, width))
        found.append(torch.from_numpy(coverage(str(thing.shape), x, y, wide, side)[0] > 0.5))
    return found


def word_places(scene: Scene, look: Look, side: int) -> Mapping[str, Mapping[str, Tensor]]:
    """Return "colour" and "shape" -> word -> pixels of the one thing that it names, booleans (side, side)."""
    places = masks(scene, look, side)
    named = {"colour": [thing.colour for thing in scene.things], "shape": [thing.shape for thing in scene.things]}
    return {
        kind: {str(word): place for word, place in zip(words, places, strict=True) if Counter(words)[word] == 1}
        for kind, words in named.items()
    }
