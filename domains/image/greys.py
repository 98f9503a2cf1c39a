"""The codec of images as letters: each number of a pixel becomes the nearest of a few levels.

It serves processes of letters, such as process=masked. A digit of 8 x 8 pixels has 17 levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polydiff.domains.image.config import ImageConfig, ImageData
from polydiff.support.errors import UserError

MOST = 32
"""Largest number of levels unless `data.greys` says another one."""
UNKNOWN = 128
"""Value at which a masked pixel is shown."""


@dataclass(frozen=True)
class Greys:
    """Levels of pixels.

    Arguments:
        values: The levels, ascending, in 0 .. 255.
        frequencies: Share of the numbers of training images at each level.
    """

    values: Sequence[int]
    frequencies: Sequence[float]

    @classmethod
    def measure(cls, images: Tensor, count: int | None) -> Greys:
        """Return levels of images uint8 (N, C, H, W): those that occur, or `count` evenly spaced ones.

        Arguments:
            images: Training images.
            count: Number of levels; None: as many as occur, at most `MOST`.
        """
        own = torch.unique(images)
        most = count or min(len(own), MOST)
        values = own if len(own) <= most else torch.linspace(0, 255, most).round()
        levels = cls([int(value) for value in values], [])
        counts = torch.bincount(levels.encode(images).flatten(), minlength=len(values)).double()
        return cls(levels.values, (counts / counts.sum()).tolist())

    def encode(self, images: Tensor) -> Tensor:
        """Return the number of the nearest level, int64, of images uint8 of any shape."""
        values = torch.tensor(self.values, dtype=torch.float32)
        return torch.searchsorted((values[1:] + values[:-1]) / 2, images.float().contiguous())

    def decode(self, x: Tensor) -> Tensor:
        """Return images uint8 of letters of any shape; a masked letter is `UNKNOWN`."""
        return torch.tensor([*self.values, UNKNOWN], dtype=torch.uint8)[x.cpu()]


def check_greys(config: ImageConfig, letters: bool) -> None:
    """Raise UserError unless the keys of a configuration suit states that are letters, or real numbers."""
    if config.data.greys is not None and not letters:
        raise UserError(f"process={config.process} does not use data.greys. Leave it out.")
    if letters and not config.data.standardise:
        raise UserError(
            f"process={config.process} has letters, which are not standardised. Leave out data.standardise."
        )


def greys_of(data: ImageData, statistics: Mapping[str, Any]) -> Greys:
    """Return the levels of the statistics, at most as many as the configuration says."""
    greys = Greys(statistics["greys"], statistics["frequencies"])
    if data.greys is not None and len(greys.values) > data.greys:
        raise UserError(
            f"data.greys={data.greys}, but the statistics have {len(greys.values)} grey levels. Leave out data.greys, "
            "or train.init."
        )
    return greys
