r"""The forward process: data to noise.

$$ x_t = \alpha_t x_0 + \sigma_t \epsilon, \qquad \epsilon \sim \mathcal N(0, P). $$

Symbols: t time, P projector of the space, B batch size, R rows of a state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from polydiff.core.space import Space, State
from polydiff.gaussian.schedule.base import Schedule

LOST, KEPT = 40.0, 0.05
"""Noise levels, in spreads of the data, at which an example is lost in noise, and at which it is hardly changed."""


def q_sample(
    x_0: State, t: Tensor, schedule: Schedule, space: Space, generators: Sequence[torch.Generator]
) -> tuple[State, State]:
    """Draw x_t given x_0, in the schedule's own frame.

    Arguments:
        x_0: Clean states on the space, (R, ...).
        t: Times in [0, 1], shape (B,).
        schedule: Gives alpha_t and sigma_t.
        space: Where the states live; it draws the noise.
        generators: One random stream a sample.

    Returns:
        (x_t, eps), each (R, ...).
    """
    alpha, sigma = (space.expand(c.to(x_0)) for c in schedule(t))
    eps = space.noise(generators)
    return noisy_state(alpha * x_0, sigma, eps), eps


def noisy_state(x_0: State, s: Tensor | float, eps: State) -> State:
    """Return the noisy state x_0 + s eps, (R, ...).

    Arguments:
        x_0: Clean states on the space, (R, ...).
        s: Noise levels that broadcast against x_0 (`Space.expand`), or one number for all samples.
        eps: Standard normal noise on the space, (R, ...).
    """
    return x_0 + s * eps


def at_data_spread(x: State, s: float, sigma_data: float) -> State:
    """Return noisy states x_0 + s eps, (R, ...), scaled to the spread of clean ones, so that they can be shown.

    Arguments:
        x: Noisy states, (R, ...).
        s: Their noise level.
        sigma_data: Standard deviation of the data.
    """
    return x * (sigma_data / math.hypot(sigma_data, s))


def decisive_levels(schedule: Schedule, sigma_data: float, n: int) -> list[float]:
    """Return n falling noise levels of equal ratios, from `LOST` to `KEPT` spreads of the data as far as trained.

    Arguments:
        schedule: Gives the range of noise levels of training.
        sigma_data: Standard deviation of the data.
        n: Number of levels, at least 2.
    """
    high, low = min(LOST * sigma_data, schedule.sigma_max), max(KEPT * sigma_data, schedule.sigma_min)
    return [high * (low / high) ** (i / (n - 1)) for i in range(n)]
