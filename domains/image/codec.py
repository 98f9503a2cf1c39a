"""Between images and states: x = (image - mean) / std, with image in [-1, 1].

The mean is each channel's, the standard deviation one number for all, so that noise stays equally strong in each
colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from polydiff.errors import UserError


@dataclass(frozen=True)
class Standardise:
    """Scale images to mean 0 and unit variance.

    Arguments:
        mean: Of each channel of the training data, in [-1, 1].
        std: Root mean square of what is left.
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
            raise UserError("All training images are of one and the same colour: there is nothing to learn.")
        return cls(tuple(mean.tolist()), std)

    def encode(self, images: Tensor) -> Tensor:
        """Return states of images uint8 (B, C, H, W)."""
        return (unit(images) - self.offset) / self.std

    def decode(self, x: Tensor) -> Tensor:
        """Return images uint8 (B, C, H, W), clipped to the range that a pixel has."""
        return ((x.float() * self.std + self.offset + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)

    @property
    def offset(self) -> Tensor:
        """The mean, shaped to broadcast."""
        return torch.tensor(self.mean)[:, None, None]


def unit(images: Tensor) -> Tensor:
    """Return images in [-1, 1]."""
    return images.float() / 127.5 - 1
