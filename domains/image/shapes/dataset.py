"""The data set: pictures with captions, by index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from polydiff.core.streams import stream_seed
from polydiff.domains.image.shapes.caption import describe
from polydiff.domains.image.shapes.draw import Look, Split, dice_of, draw
from polydiff.domains.image.shapes.render import render
from polydiff.domains.image.shapes.scene import UNITS, Scene
from polydiff.domains.image.shapes.spec import Spec, full, partial
from polydiff.support.errors import UserError, check_whole

SPLITS: tuple[Split, ...] = ("train", "test", "unseen")


@dataclass(frozen=True)
class Shapes:
    """Captioned scenes of coloured shapes. Example i of a split depends on the arguments and i alone; i has no bound.

    Splits are "train", "test" (other scenes of the same law) and "unseen" (each scene has one thing whose pair of
    colour and shape is never in "train" or "test").

    Arguments:
        side: Height and width in pixels, a multiple of 32.
        counts: Possible numbers of things of a scene, all equally likely; of 1, 2 and 3.
        seed: Seed of the data set.
        partial: Share of captions that may leave sizes, the place and relations open, each with probability 1/2.

    Raises:
        UserError: An argument has another value.
    """

    side: int = 32
    counts: tuple[int, ...] = (1,)
    seed: int = 0
    partial: float = 0.0

    def __post_init__(self) -> None:
        check_whole("The side of pictures of shapes", self.side, UNITS)
        if self.side % UNITS:
            raise UserError(f"The side of pictures of shapes must be a multiple of {UNITS} pixels, not {self.side}.")
        if not self.counts or not set(self.counts) <= {1, 2, 3}:
            raise UserError(f"Pictures of shapes have 1, 2 or 3 things, not {self.counts!r}. Give a list of these.")
        if not 0 <= self.partial <= 1:
            raise UserError(f"The share of partial captions must be between 0 and 1, not {self.partial!r}.")
        stream_seed(self.seed, "shapes")

    def train(self, index: int) -> tuple[Tensor, str]:
        """Return a training picture, uint8 (3, side, side), and its caption."""
        pictures, captions = self.batch([index])
        return pictures[0], captions[0]

    def batch(self, indices: Sequence[int], split: Split = "train") -> tuple[Tensor, list[str]]:
        """Return pictures, uint8 (B, 3, side, side), and their captions."""
        drawn = [self.draw(index, split) for index in indices]
        pictures = render([scene for scene, _ in drawn], [look for _, look in drawn], self.side)
        scenes = [scene for scene, _ in drawn]
        return pictures, [self.captioned(scene, i, split)[1] for scene, i in zip(scenes, indices, strict=True)]

    def draw(self, index: int, split: Split = "train") -> tuple[Scene, Look]:
        """Return a scene and how it is painted.

        Raises:
            UserError: The split does not exist, or the index is negative or no whole number.
        """
        if split not in SPLITS:
            raise UserError(f"Shapes have the splits {', '.join(SPLITS)}, not {split!r}.")
        check_whole("The index of a scene", index, 0)
        return draw(self.seed, split, index, self.counts)

    def scenes(self, indices: Sequence[int], split: Split = "train") -> list[Scene]:
        """Return scenes without painting them."""
        return [self.draw(index, split)[0] for index in indices]

    def specs(self, indices: Sequence[int], split: Split = "train") -> list[Spec]:
        """Return what each caption demands."""
        return [self.captioned(self.draw(i, split)[0], i, split)[0] for i in indices]

    def captioned(self, scene: Scene, index: int, split: Split) -> tuple[Spec, str]:
        """Return what the caption of a scene demands, and the caption."""
        dice = dice_of(self.seed, f"shapes/{split}/caption", index, 12)
        spec = full(scene)
        if dice.between(0, 1) < self.partial:
            spec = partial(spec, dice)
        return spec, describe(spec, dice)
