"""In what units the likelihood of states is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from polydiff.core.space import State


class Units(NamedTuple):
    """What the numbers of states stand for, so that a likelihood can be given in the data's units.

    Attributes:
        low: Lower end of the bin that each number of a state stands for, of the state's shape: -inf at the lowest
            value, NaN where a number is continuous. None: all are.
        high: Upper end of it.
        log_scale: Log of the volume, in the data's units, of a unit cube of the continuous coordinates, shape (B,);
            0 where states are in the data's units.
        name: Of what -log p is a density: "Å", "full scale"; "" where all is discrete.
        category: Places (first, last + 1) of the last axis that are a one-hot code, whose largest number says which
            category it is; the bins of all of them are those of a number that is on. None: there is no such code.
        size: -log p of each sample's size, in nats, shape (B,); None: sizes are given.
    """

    low: State | None
    high: State | None
    log_scale: Tensor
    name: str = ""
    category: tuple[int, int] | None = None
    size: Tensor | None = None
