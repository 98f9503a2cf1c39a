"""The bounds on the likelihood that `polydiff eval --likelihood` knows of a Gaussian process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from polydiff.core.likelihood import Estimate
from polydiff.core.process import Trained
from polydiff.core.space import Batch
from polydiff.gaussian.likelihood.bounds import Variance, chain, continuous_vlb, discrete_vlb
from polydiff.gaussian.likelihood.flow import flow_bound
from polydiff.gaussian.ode import IntegrationError
from polydiff.gaussian.process.checks import tells_variance
from polydiff.gaussian.process.plan import in_precision
from polydiff.gaussian.schedule.tables import Table
from polydiff.support.errors import UserError, unknown

if TYPE_CHECKING:
    from polydiff.core.units import Units

BOUNDS: Mapping[str, str] = {
    "vlb": "variational bound in continuous time: the training loss with the weighting of the likelihood",
    "chain": "variational bound of ancestral sampling through the levels of the schedule's table, or else 1000, the "
    "variance learned if the network predicts it",
    "flow": "bound by the probability-flow ODE, which deterministic samplers follow",
}
"""Name of a bound on -log p -> what it is."""
CHAIN = 1000
"""Levels of the chain, of a schedule that is no table of its own."""


@dataclass(frozen=True)
class GaussianBound:
    """Bounds on -log p of the batches of one data set.

    Arguments:
        model: What is judged.
        draws: Noise levels drawn for each example, by "vlb" and "chain".
        lowest: Noise level at which the decoder takes over.
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
                variance: Variance = "learned" if tells_variance(self.model.config) else "small"
                schedule = denoiser.schedule
                levels = chain(schedule, len(schedule.grid) if isinstance(schedule, Table) else CHAIN, lowest)
                return discrete_vlb(
                    denoiser, batch, generators, levels, variance=variance, draws=self.draws, units=units
                )
            case "flow":
                how: dict[str, Any] = {"trace": "hutchinson", "rtol": 1e-3, "atol": 1e-3, "lowest": lowest}
                try:
                    return flow_bound(denoiser, batch, generators, units=units, **how)
                except IntegrationError as error:
                    raise UserError(f"The flow of this model cannot be followed. {error}") from error
        raise unknown("likelihood", kind, BOUNDS)
