r"""The forward process: data to noise.

$$ x_t = \alpha_t x_0 + \sigma_t \epsilon, \qquad \epsilon \sim \mathcal N(0, P). $$
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from polydiff.schedule import Schedule
from polydiff.space import Space, State


def q_sample(
    x_0: State, t: Tensor, schedule: Schedule, space: Space, generators: Sequence[torch.Generator]
) -> tuple[State, State]:
    """Draw x_t given x_0, in the schedule's own frame.

    Arguments:
        x_0: Clean states on the space.
        t: Times in [0, 1], shape (B,).
        schedule: Gives alpha_t and sigma_t.
        space: Where the states live; it draws the noise.
        generators: One random stream a sample.

    Returns:
        (x_t, eps).
    """
    alpha, sigma = (space.expand(c.to(x_0)) for c in schedule(t))
    eps = space.noise(generators)
    return alpha * x_0 + sigma * eps, eps
