"""Cases that several tests share: schedule."""

from __future__ import annotations

import torch

from polydiff.gaussian.schedule.base import SCHEDULES, Schedule
from polydiff.gaussian.schedule.learned import Learned

NAMES = list(SCHEDULES)


BY_BETAS = ["linear", "quadratic", "scaled_linear", "cosine_betas", "sigmoid_betas", "sqrt"]


def schedule(name: str, options: dict[str, float] | None = None) -> Schedule:
    """A schedule; the learned one away from its start."""
    s = SCHEDULES[name](**(options or {}))
    if isinstance(s, Learned):
        with torch.no_grad():
            s.height.copy_(torch.linspace(-3, 2, len(s.height)))
    return s
