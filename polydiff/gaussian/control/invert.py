"""Editing: begin from a clean state with some noise on it, or between two.

Symbols: s noise level, t time of the schedule, u share of the way from a to b.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from polydiff.core.conditions import Condition
from polydiff.core.space import Space, State, sqnorm
from polydiff.gaussian.denoise import Denoise
from polydiff.gaussian.sampling.execute import run_plan
from polydiff.gaussian.sampling.plan import SAMPLERS
from polydiff.gaussian.sampling.single_step import staged, trapezoid
from polydiff.gaussian.sampling.spacing import noise_levels
from polydiff.gaussian.schedule.base import Schedule


def strength_level(schedule: Schedule, strength: float) -> float:
    """Return the noise level at a share of the schedule's time: where SDEdit begins (Meng et al., 2022).

    0 is the lowest trained level, which changes next to nothing, 1 the highest, which forgets the state. Hand it to
    `polydiff.sample` as `start`, with `init`. https://arxiv.org/abs/2108.01073

    Arguments:
        schedule: Its noise levels.
        strength: Share in (0, 1].
    """
    if not 0 < strength <= 1:
        raise ValueError(f"strength must be above 0 and at most 1, not {strength}.")
    low, high = schedule.trained_times()
    time = torch.tensor(low + strength * (high - low), dtype=torch.float64)
    return min(float(schedule.noise_level(time)), schedule.sigma_max)


def encode(
    denoise: Denoise, x_0: State, space: Space, cond: Condition | None = None, *, levels: Sequence[float]
) -> State:
    """Return the noisy state that the probability-flow ODE leads from x_0 to: DDIM inversion, by Heun's method.

    `decode` leads back, up to the error of both. (Song et al., 2021, section 4.3, https://arxiv.org/abs/2010.02502)

    Arguments:
        denoise: A denoiser; without guidance, which has no inverse that leads back.
        x_0: Clean states, taken for states of the lowest noise level.
        space: Where they live.
        cond: Their conditions.
        levels: Falling noise levels as of `noise_levels`, of which the last may be 0.
    """
    rising = [s for s in reversed(levels) if s > 0]
    if any(a >= b for a, b in pairwise(rising)) or len(rising) < 2:
        raise ValueError("levels must fall, and hold at least two noise levels above 0.")
    rows = [row for s0, s1 in pairwise(rising) for row in staged(trapezoid(s0, s1))]
    for step in run_plan(rows, denoise, x_0, space, cond, ()):
        x_0 = step.x
    return x_0


def decode(
    denoise: Denoise, x: State, space: Space, cond: Condition | None = None, *, levels: Sequence[float]
) -> State:
    """Return the clean state that the probability-flow ODE leads to, by Heun's method.

    Arguments:
        denoise: A denoiser.
        x: States of noise level levels[0].
        space: Where they live.
        cond: Their conditions.
        levels: Falling noise levels, the last of which may be 0.
    """
    for step in run_plan(SAMPLERS["heun"](levels), denoise, x, space, cond, ()):
        x = step.x
    return x


def slerp(a: State, b: State, u: Tensor | float, space: Space) -> State:
    r"""Return the state a share u along the arc from a to b: sin((1 - u) w) / sin w a + sin(u w) / sin w b.

    w is the angle between them in the space's inner product (Shoemake, 1985). A straight line would lead through
    states of a norm that noise never has. Where a and b point the same way or opposite ways, it is that line.

    Arguments:
        a: Noisy states.
        b: Noisy states on the same space.
        u: Share, one number or (B,).
        space: Where they live.
    """
    u = torch.as_tensor(u, dtype=a.dtype, device=a.device).expand(space.batch)
    norms = (sqnorm(space, a) * sqnorm(space, b)).sqrt()
    cosine = space.sum(a * b) / norms.clamp(min=torch.finfo(a.dtype).tiny)
    angle = cosine.clamp(-1, 1).acos()
    sine = angle.sin()
    line = sine < 1e-4
    safe = torch.where(line, 1, sine)
    left = torch.where(line, 1 - u, ((1 - u) * angle).sin() / safe)
    right = torch.where(line, u, (u * angle).sin() / safe)
    return space.expand(left) * a + space.expand(right) * b


def interpolate(
    denoise: Denoise,
    a: State,
    b: State,
    space: Space,
    cond: Condition | None = None,
    *,
    shares: Sequence[float],
    steps: int = 50,
    spacing: str = "karras",
) -> Iterator[State]:
    """Yield the state at each share of the way from a to b: encode both, go along the arc, decode.

    (Song et al., 2021, section 5.3, https://arxiv.org/abs/2010.02502)

    Arguments:
        denoise: A denoiser without guidance.
        a: Clean states.
        b: Clean states on the same space: molecules of as many atoms, in an order that matches.
        space: Where they live.
        cond: Conditions of the whole way.
        shares: 0 is a, 1 is b.
        steps: Noise levels of each way.
        spacing: Where they lie.
    """
    if a.shape != b.shape:
        raise ValueError(f"a and b must live on one space; they have the shapes {tuple(a.shape)}, {tuple(b.shape)}.")
    if steps < 2:
        raise ValueError(f"steps must be at least 2, the ends of each way, not {steps}.")
    levels = noise_levels(denoise.schedule, steps, spacing)
    noisy_a, noisy_b = (encode(denoise, x, space, cond, levels=levels) for x in (a, b))
    for u in shares:
        yield decode(denoise, slerp(noisy_a, noisy_b, u, space), space, cond, levels=levels)
