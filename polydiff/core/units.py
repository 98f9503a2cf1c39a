"""Units: how the numbers of a state relate to the data, so that a likelihood can be given in units of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from polydiff.core.space import State


class Units(NamedTuple):
    """The meaning of the numbers in a batch of states: bins of discrete values, and units of continuous ones.

    Attributes:
        low: Lower end of the bin that each number stands for, of the state's shape: -inf at the lowest value, NaN for
            a continuous number. None: all numbers are continuous.
        high: Upper end of the bin, of the state's shape: inf at the highest value, NaN for a continuous number.
        log_scale: Log of the volume, in units of the data, of a unit cube of the continuous coordinates, shape (B,);
            0 if states are in units of the data.
        name: Unit of the density p, such as "Å" or "full scale"; "" if all numbers are discrete.
        category: Range (first, last + 1) on the last axis that holds a one-hot code; its largest number decides on the
            category. Each bin in this range is that of the number of a category that is present. None: there is no such
            code.
        size: -log p of each sample's size, in nats, shape (B,); None: sizes are given.
    """

    low: State | None
    high: State | None
    log_scale: Tensor
    name: str = ""
    category: tuple[int, int] | None = None
    size: Tensor | None = None
