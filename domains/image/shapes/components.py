"""Connected components of masks, for a whole batch at a time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SPREADS = 96
"""Most steps by which a label spreads; longer, winding components fall apart into several."""


def label(mask: Tensor) -> Tensor:
    """Return the component of each pixel, int64 (B, H, W): numbers that differ between images, 0 outside of the mask.

    Pixels that touch at a corner are connected.

    Arguments:
        mask: Booleans (B, H, W), fewer than 2^24 in all.
    """
    inside = mask.float()
    labels = torch.arange(1, mask.numel() + 1, dtype=torch.float32).view_as(inside) * inside
    for _ in range(SPREADS):
        spread = greatest(labels) * inside
        if torch.equal(spread, labels):
            break
        labels = spread
    return labels.long()


def grow(labels: Tensor, pixels: int) -> Tensor:
    """Return labels (B, H, W) grown into pixels without a label, one pixel at a time; the greater label wins."""
    grown = labels
    for _ in range(pixels):
        grown = torch.where(grown > 0, grown, greatest(grown))
    return grown


def greatest(x: Tensor) -> Tensor:
    """Return the greatest number around each pixel of x >= 0, in 3 x 3 pixels, (B, H, W)."""
    x = functional.pad(x, (1, 1, 1, 1))
    x = torch.maximum(torch.maximum(x[:, :-2], x[:, 2:]), x[:, 1:-1])
    return torch.maximum(torch.maximum(x[..., :-2], x[..., 2:]), x[..., 1:-1])


def blurred(images: Tensor) -> Tensor:
    """Return images (B, C, H, W) averaged with weights 1, 2, 1 in each direction; edges are repeated."""
    padded = functional.pad(images, (1, 1, 1, 1), mode="replicate")
    rows = padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]
    return (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 16
