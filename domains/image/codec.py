"""The map between images and states: x = (image - mean) / std, with image in [-1, 1].

Each channel has its own mean. One standard deviation serves all channels, so that noise is equally strong in each
colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from polydiff.support.errors import UserError


@dataclass(frozen=True)
class Standardise:
    """Scale images to mean 0 and unit variance.

    Arguments:
        mean: Mean of each channel of the training data, in [-1, 1].
        std: Root mean square of the deviations from the mean.
    """

    mean: tuple[float, ...]
    std: float

    @classmethod
    def measure(cls, images: Tensor) -> Standardise:
        """Return the codec of images uint8 (N, C, H, W)."""
        x = unit(images).double()
        mean = x.mean((0, 2, 3))
        std = (x - mean[:, None, None]).square().mean().sqrt().item()
        if std == 0:
            raise UserError("All training images have the same single colour, so there is nothing to learn.")
        return cls(tuple(mean.tolist()), std)

    def encode(self, images: Tensor) -> Tensor:
        """Return states of images uint8 (B, C, H, W)."""
        return (unit(images) - self.offset) / self.std

    def decode(self, x: Tensor) -> Tensor:
        """Return images uint8 (B, C, H, W), clipped to the range that a pixel has."""
        return ((x.float() * self.std + self.offset + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)

    def bins(self, x: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the ends of the bin around each number of a state, halfway to the levels beside it.

        Arguments:
            x: States of images whose pixels are all among the levels, (B, C, H, W).
            levels: The values that a pixel can have, ascending, in 0 .. 255. The outer ends of the lowest and the
                highest bin are infinite.
        """
        here = torch.searchsorted(levels, self.decode(x).to(levels).contiguous())
        middles, inf = (levels[1:] + levels[:-1]) / 2, levels.new_tensor([torch.inf])
        low, high = torch.cat([-inf, middles])[here], torch.cat([middles, inf])[here]
        return self.scaled(low), self.scaled(high)

    def scaled(self, pixels: Tensor) -> Tensor:
        """Return pixels in 0 .. 255, float64, in the units of states."""
        return (pixels / 127.5 - 1 - self.offset.double()) / self.std

    @property
    def offset(self) -> Tensor:
        """The mean, shaped to broadcast."""
        return torch.tensor(self.mean)[:, None, None]


def unit(images: Tensor) -> Tensor:
    """Return images in [-1, 1]."""
    return images.float() / 127.5 - 1
