r"""Timesteps: a schedule as T numbered noise levels, as networks of DDPM take them.

$$ i = (T - 1) \frac{t(s) - t_0}{t_1 - t_0}, \qquad i = 0 \ldots T - 1, $$

with t the time of a schedule, from t_0 at its lowest trained noise level to t_1 at its highest. On a table of T betas,
i is the index of the beta; between grid points it is no whole number. A schedule without a table has T = 1000.

Symbols: s noise level, t time, i timestep, T number of timesteps, B batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from polydiff.gaussian.schedule.base import Schedule
from polydiff.gaussian.schedule.tables import Table
from polydiff.support.errors import UserError

WITHOUT_TABLE = 1000
"""T of a schedule without a table."""
ROUNDING = 1e-3
"""Distance from a whole timestep that is taken for rounding of log s in float32."""


@dataclass(frozen=True, eq=False)
class Timesteps:
    """The timesteps of a schedule.

    Arguments:
        schedule: The schedule.

    Raises:
        UserError: The schedule is learned, so that its timesteps would change.
    """

    schedule: Schedule

    def __post_init__(self) -> None:
        if isinstance(self.schedule, nn.Module):
            raise UserError("schedule=learned has no fixed timesteps, which a network of diffusers needs.")

    @property
    def count(self) -> int:
        """T."""
        return len(self.schedule.grid) if isinstance(self.schedule, Table) else WITHOUT_TABLE

    @property
    def ends(self) -> tuple[float, float]:
        """t_0 and t_1."""
        return (0.0, 1.0) if isinstance(self.schedule, Table) else self.schedule.trained_times()

    def of(self, log_sigma: Tensor) -> Tensor:
        """Return the timesteps of log noise levels, float32 and of their shape."""
        low, high = self.ends
        place = (self.count - 1) * (self.schedule.time(-2 * log_sigma.double()) - low) / (high - low)
        whole = place.round()
        return torch.where((place - whole).abs() < ROUNDING, whole, place).float()

    def log_snr(self) -> Tensor:
        """Return the log-SNRs of all timesteps, float64 (T,)."""
        low, high = self.ends
        return self.schedule.log_snr(torch.linspace(low, high, self.count, dtype=torch.float64))
