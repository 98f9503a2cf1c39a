"""The bounds on the likelihood of a Gaussian process, for `polydiff eval --likelihood`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from polydiff.core.likelihood import Estimate
from polydiff.core.process.process import Trained
from polydiff.core.space import Batch
from polydiff.gaussian.likelihood.bounds import Variance, chain, continuous_vlb, discrete_vlb
from polydiff.gaussian.likelihood.flow import flow_bound
from polydiff.gaussian.ode import IntegrationError
from polydiff.gaussian.process.checks import predicts_variance
from polydiff.gaussian.process.plan import in_precision
from polydiff.gaussian.schedule.tables import Table
from polydiff.support.errors import UserError, unknown

if TYPE_CHECKING:
    from polydiff.core.units import Units

BOUNDS: Mapping[str, str] = {
    "vlb": "variational bound in continuous time: the training loss with the weighting of the likelihood",
    "chain": "variational bound of ancestral sampling through the levels of the schedule's table, or through 1000 "
    "levels if it has none; with the learned variance if the network predicts one",
    "flow": "bound by the probability-flow ODE, which deterministic samplers solve",
}
"""Name of a bound on -log p -> one-line description."""
CHAIN_LEVELS = 1000
"""Noise levels of the chain for a schedule without a table of levels (`Table`)."""


@dataclass(frozen=True)
class GaussianBound:
    """Bounds on -log p of the batches of one data set.

    Arguments:
        model: The trained model.
        draws: Noise levels drawn for each example, for "vlb" and "chain".
        lowest: Noise level where the decoder takes over.
    """

    model: Trained
    draws: int
    lowest: float

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"lowest_noise_level": self.lowest}

    def __call__(self, kind: str, batch: Batch, units: Units | None, generators: Sequence[torch.Generator]) -> Estimate:
        denoiser, lowest = in_precision(self.model, "float32"), self.lowest
        match kind:
            case "vlb":
                return continuous_vlb(denoiser, batch, generators, draws=self.draws, units=units, lowest=lowest)
            case "chain":
                variance: Variance = "learned" if predicts_variance(self.model.config) else "small"
                schedule = denoiser.schedule
                levels = chain(schedule, len(schedule.grid) if isinstance(schedule, Table) else CHAIN_LEVELS, lowest)
                return discrete_vlb(
                    denoiser, batch, generators, levels, variance=variance, draws=self.draws, units=units
                )
            case "flow":
                how: dict[str, Any] = {"trace": "hutchinson", "rtol": 1e-3, "atol": 1e-3, "lowest": lowest}
                try:
                    return flow_bound(denoiser, batch, generators, units=units, **how)
                except IntegrationError as error:
                    raise UserError(f"The probability-flow ODE of this model cannot be solved. {error}") from error
        raise unknown("likelihood", kind, BOUNDS)
