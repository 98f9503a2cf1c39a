"""Editing by inversion: the noise level where an edit starts, DDIM inversion, interpolation between two states.

Symbols: s noise level, t time of the schedule, u share of the way from a to b, B batch size, R rows of a state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from polydiff.core.conditions import Condition
from polydiff.core.entry import check_states
from polydiff.core.space import Space, State, sqnorm
from polydiff.gaussian.denoise import Denoise
from polydiff.gaussian.sampling.execute import run_plan
from polydiff.gaussian.sampling.plan import SAMPLERS
from polydiff.gaussian.sampling.single_step import staged, trapezoid
from polydiff.gaussian.sampling.spacing import noise_levels
from polydiff.gaussian.schedule.base import Schedule


def strength_level(schedule: Schedule, strength: float) -> float:
    """Return the noise level where SDEdit starts: that of a share of the schedule's time (Meng et al., 2022).

    A share near 0 is near the lowest trained level and changes next to nothing. 1 is the highest level and forgets the
    state. The result is the argument `start` of `polydiff.sample`, beside `init`. https://arxiv.org/abs/2108.01073

    Arguments:
        schedule: Gives the trained times and their noise levels.
        strength: The share, in (0, 1].

    Raises:
        ValueError: The strength is not in (0, 1].
    """
    if not 0 < strength <= 1:
        raise ValueError(f"strength must be above 0 and at most 1, not {strength}.")
    low, high = schedule.trained_times()
    time = torch.tensor(low + strength * (high - low), dtype=torch.float64)
    return min(float(schedule.noise_level(time)), schedule.sigma_max)


def encode(
    denoise: Denoise, x_0: State, space: Space, cond: Condition | None = None, *, levels: Sequence[float]
) -> State:
    """Return the noisy states to which the probability-flow ODE takes clean ones: DDIM inversion by Heun's method.

    `decode` takes them back, up to the error of both solutions. (Song et al., 2021, section 4.3,
    https://arxiv.org/abs/2010.02502)

    Arguments:
        denoise: A denoiser without guidance; a guided one has no such inverse.
        x_0: Clean states (R, ...), taken for states of the lowest noise level above 0.
        space: Where they live.
        cond: Their conditions; None: unconditional.
        levels: Falling noise levels, as `noise_levels` returns them; the last may be 0.

    Returns:
        States (R, ...) of noise level levels[0].

    Raises:
        ValueError: The levels do not fall, or fewer than two are above 0.
    """
    rising = [s for s in reversed(levels) if s > 0]
    if any(a >= b for a, b in pairwise(rising)) or len(rising) < 2:
        raise ValueError("levels must fall, and hold at least two noise levels above 0.")
    check_states(x_0, space, levels=rising, name="x_0")
    rows = [row for s0, s1 in pairwise(rising) for row in staged(trapezoid(s0, s1))]
    for step in run_plan(rows, denoise, x_0, space, cond, ()):
        x_0 = step.x
    return x_0


def decode(
    denoise: Denoise, x: State, space: Space, cond: Condition | None = None, *, levels: Sequence[float]
) -> State:
    """Return the clean states (R, ...) to which the probability-flow ODE takes noisy ones, by Heun's method.

    Arguments:
        denoise: A denoiser.
        x: States (R, ...) of noise level levels[0].
        space: Where they live.
        cond: Their conditions; None: unconditional.
        levels: Falling noise levels; the last may be 0.
    """
    check_states(x, space, levels=levels)
    for step in run_plan(SAMPLERS["heun"](levels), denoise, x, space, cond, ()):
        x = step.x
    return x


def slerp(a: State, b: State, u: Tensor | float, space: Space) -> State:
    r"""Return the state a share u along the arc from a to b: sin((1 - u) w) / sin w a + sin(u w) / sin w b.

    w is the angle between them in the space's inner product (Shoemake, 1985, https://doi.org/10.1145/325165.325242). A
    straight line would pass through states of a norm that noise does not have. If a and b point the same way or
    opposite ways, the result is on the straight line.

    Arguments:
        a: Noisy states, (R, ...).
        b: Noisy states on the same space, (R, ...).
        u: Share of the way, one number or (B,).
        space: Where they live.

    Returns:
        States (R, ...).
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
    """Yield the states (R, ...) at each share of the way from a to b: encode both, interpolate by `slerp`, decode.

    (Song et al., 2021, section 5.3, https://arxiv.org/abs/2010.02502)

    Arguments:
        denoise: A denoiser without guidance.
        a: Clean states, (R, ...).
        b: Clean states on the same space, (R, ...); molecules need as many atoms as those of a, in a matching order.
        space: Where they live.
        cond: Conditions of all states on the way; None: unconditional.
        shares: Shares of the way: 0 is a, 1 is b.
        steps: Noise levels of each encoding and decoding, at least 2.
        spacing: Name of the spacing of the noise levels (`polydiff.gaussian.sampling.spacing.SPACINGS`).

    Raises:
        ValueError: a and b differ in shape, or steps is below 2.
    """
    if a.shape != b.shape:
        raise ValueError(f"a and b must live on one space; they have the shapes {tuple(a.shape)}, {tuple(b.shape)}.")
    if steps < 2:
        raise ValueError(f"steps must be at least 2, the ends of each way, not {steps}.")
    levels = noise_levels(denoise.schedule, steps, spacing)
    noisy_a, noisy_b = (encode(denoise, x, space, cond, levels=levels) for x in (a, b))
    for u in shares:
        yield decode(denoise, slerp(noisy_a, noisy_b, u, space), space, cond, levels=levels)
