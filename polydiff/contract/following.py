"""The optional ability of a `Domain` to follow another stage of a pipeline; see `contract.abilities`.

Stages pass examples to each other, not states: each stage standardises them by its own statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

    from polydiff.contract.domain import Domain, Samples
    from polydiff.core.conditions import Condition


class Follows(Protocol):
    """A domain whose network is conditioned on examples that another stage draws.

    A super-resolution stage of a cascade follows the stage that draws small images; the decoder of unCLIP follows the
    prior that draws embeddings.
    """

    def misfit(self, earlier: Domain) -> str | None:
        """Return why examples of another stage's domain cannot condition this one; None if they can.

        Arguments:
            earlier: Domain of the other stage. polydiff passes this argument by position.
        """

    def follow(self, samples: Samples, generators: Sequence[torch.Generator], level: float = 0.0) -> Condition:
        """Return the conditions that the other stage's examples make, name -> tensor (B, ...).

        Arguments:
            samples: B examples of the other stage.
            generators: B random streams, one an example, for the noise.
            level: Standard deviation of the noise that is added to the conditions, in units of this stage's states.
        """
