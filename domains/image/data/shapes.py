"""Captioned scenes of coloured shapes as a data set: painted by index when they are used, never stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor

from polydiff.contract.text.captions import KEPT, Captions
from polydiff.contract.text.columns import TEXT
from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data.source import Source, Split
from polydiff.domains.image.shapes.caption import LONGEST, WORDS
from polydiff.domains.image.shapes.dataset import SPLITS, Shapes
from polydiff.domains.image.shapes.draw import Split as Name
from polydiff.domains.image.shapes.places import word_places

SIZES: Mapping[Name, int] = {"train": 1_000_000, "test": 2000, "unseen": 2000}
"""Split -> number of its scenes; an epoch of training visits so many before any is repeated."""


@dataclass(frozen=True)
class Pictures(Sequence[Tensor]):
    """The pictures of a split, painted on access."""

    shapes: Shapes
    split: Name

    def __len__(self) -> int:
        return SIZES[self.split]

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Tensor]: ...
    def __getitem__(self, index: int | slice) -> Tensor | Sequence[Tensor]:
        if isinstance(index, slice):
            return list(self.stacked(range(*index.indices(len(self)))).unbind())
        return self.stacked([range(len(self))[index]])[0]

    def stacked(self, indices: Sequence[int]) -> Tensor:
        """Return several pictures, uint8 (B, 3, S, S), faster than one by one."""
        return self.shapes.batch(indices, self.split)[0]

    def word_places(self, indices: Sequence[int]) -> list[Mapping[str, Mapping[str, Tensor]]]:
        """Return where the things of scenes are (`polydiff.domains.image.shapes.places.word_places`)."""
        drawn = (self.shapes.draw(i, self.split) for i in indices)
        return [word_places(scene, look, self.shapes.side) for scene, look in drawn]


@dataclass(frozen=True)
class Values(Sequence[Mapping[str, Any]]):
    """The captions of a split, written on access."""

    shapes: Shapes
    split: Name

    def __len__(self) -> int:
        return SIZES[self.split]

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | Sequence[Mapping[str, Any]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        scene, _ = self.shapes.draw(place, self.split)
        return {TEXT: self.shapes.captioned(scene, place, self.split)[1]}


def shapes(data: ImageData) -> Source:
    """Return the scenes: "train", "test" of the same law, and "unseen" with pairs that training never shows."""
    scenes = Shapes(side=data.square, counts=data.things, partial=data.partial)
    splits: dict[str, Split] = {
        name: Split(Pictures(scenes, name), torch.full((SIZES[name],), -1), data.square, values=Values(scenes, name))
        for name in SPLITS
    }
    kept = tuple(str(splits["train"].values[i][TEXT]) for i in splits["train"].spread(KEPT))
    return Source((), splits, fields={TEXT: Captions("words", WORDS, LONGEST, kept)}, unlimited=True)
