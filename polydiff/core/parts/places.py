"""Places of a padded batch: which are no padding, and tensors with one number or vector for each of them.

Symbols: B number of samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def counted(mask: Tensor | None, batch: int, shape: tuple[int, ...]) -> list[int]:
    """Return how many places of each sample are no padding.

    Arguments:
        mask: False at padding, (B, *shape); None: no padding.
        batch: B.
        shape: Shape of one sample.
    """
    if mask is None:
        return [torch.Size(shape).numel()] * batch
    counts: list[int] = mask.reshape(batch, -1).sum(1).tolist()
    return counts


def placed(numbers: Sequence[Tensor], mask: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    """Return the numbers of all samples as one tensor with 0 at padding.

    Arguments:
        numbers: For each sample, a tensor whose first axis is its places.
        mask: False at padding, the first axes of `shape`; None: no padding.
        shape: Shape of the result, (B, ...).
    """
    if mask is None:
        return torch.stack(list(numbers)).reshape(shape)
    out = numbers[0].new_zeros(shape)
    out[mask] = torch.cat(list(numbers))
    return out


def copied(mask: Tensor | None, n: int) -> Tensor | None:
    """Return the mask of n copies of a batch."""
    return None if mask is None else mask.repeat(n, *(1 for _ in mask.shape[1:]))
