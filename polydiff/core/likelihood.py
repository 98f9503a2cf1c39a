"""Bounds on the likelihood of data: what a process provides that can compute them.

`polydiff.judging.likelihood` averages them over a data set.

Symbols: B number of samples, R rows of a state (`polydiff.core.space`), x_0 clean state, p density of the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from polydiff.core.process.process import Trained
    from polydiff.core.space import Batch
    from polydiff.core.units import Units


class Estimate(NamedTuple):
    """An estimated upper bound on -log p(x_0) of each sample.

    Attributes:
        nats: The bound in nats, for the data in their own units, shape (B,).
        error: Standard error of the bound over its random draws, shape (B,); NaN if the diffusion term was
            not drawn more than once.
        parts: Name of a term -> its contribution to `nats`, shape (B,).
        evaluations: Number of network evaluations for each sample, shape (B,).
    """

    nats: Tensor
    error: Tensor
    parts: dict[str, Tensor]
    evaluations: Tensor


class Bound(Protocol):
    """Upper bounds on -log p for the batches of one data set."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Settings that hold for all batches: name -> value that JSON can hold."""

    def __call__(self, kind: str, batch: Batch, units: Units | None, generators: Sequence[torch.Generator]) -> Estimate:
        """Return one kind of bound for a batch on the device of the network.

        Arguments:
            kind: A name in `Bounds.bounds`.
            batch: Clean states (R, ...) with their space and conditions.
            units: Meaning of the states' numbers; None: continuous numbers without a unit.
            generators: B random streams, one a sample.
        """


class Bounds(Protocol):
    """A process that can bound the likelihood of data."""

    @property
    def bounds(self) -> Mapping[str, str]:
        """Name of a bound -> one-line description."""

    def bound(self, model: Trained, units: Sequence[Units | None], draws: int) -> Bound:
        """Return a function that bounds -log p of the batches of a data set.

        Arguments:
            model: The network to judge.
            units: Units of each batch of the data set; None for continuous numbers without a unit.
            draws: Number of noise levels to draw for each example, for bounds that draw noise levels.
        """
