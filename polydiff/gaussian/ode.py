r"""An adaptive Runge-Kutta integrator of ordinary differential equations, with separate steps for each sample.

$$ \dot y = f(t, y), \qquad
   k_i = f\Big(t + c_i h,\ y + h \sum_{j < i} a_{ij} k_j\Big), \qquad
   y' = y + h \sum_i b_i k_i, \qquad e = h \sum_i (b_i - \hat b_i) k_i, $$

with two sets of weights b, of orders p and p - 1. Their difference e estimates the error of a step (Hairer, Nørsett and
Wanner, Solving Ordinary Differential Equations I, 1993, section II.4). A step is accepted if

$$ \mathrm{err} = \max_{\text{parts}} \Big( \frac 1 {\mathrm{dim}} \sum \Big(
   \frac{e}{\mathrm{atol} + \mathrm{rtol} \max(|y|, |y'|)} \Big)^2 \Big)^{1/2} \le 1, $$

and the next step is 0.9 err^{-1/p} times as long, a factor within [0.2, 5]. Each sample has its own times, steps and
decisions, so it does not depend on the rest of its batch. Samples that are done have h = 0 until all are.

Symbols: t time (B,), h step (B,), y the solution, k slopes, a b c the method's coefficients, p its order, B batch size.
A solution or a slope has one or more parts, each a state (R, ...) of its own space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from polydiff.core.space import Space, State
from polydiff.gaussian.tableaux import METHODS, Tableau

Parts = tuple[State, ...]
Slope = Callable[[Tensor, Parts], Parts]
"""(t, shape (B,), float64; parts of y) -> derivatives of the parts."""

SAFETY, SHRINK, GROW = 0.9, 0.2, 5.0
"""Factor of the next step's estimated length; smallest and largest ratio of two steps."""


class IntegrationError(ArithmeticError):
    """An equation cannot be solved to the given tolerance."""


@dataclass(frozen=True, eq=False)
class Equation:
    """An equation with the method and the tolerances of its solution.

    Arguments:
        f: The slope.
        spaces: Where each part of y lives.
        tableau: Coefficients of the method.
        rtol: Error allowed in a step, relative to |y|.
        atol: Absolute error allowed in a step, in addition to the relative one.
    """

    f: Slope
    spaces: Sequence[Space]
    tableau: Tableau
    rtol: float
    atol: float


class Solution(NamedTuple):
    """The result of `integrate`.

    Attributes:
        y: The parts of the solution at the end times.
        evaluations: Evaluations of f that each sample needed, shape (B,).
        steps: Accepted steps of each sample, shape (B,).
        rejected: Rejected steps of each sample, shape (B,).
    """

    y: Parts
    evaluations: Tensor
    steps: Tensor
    rejected: Tensor


def integrate(
    f: Slope,
    y: Parts,
    spaces: Sequence[Space],
    start: Tensor,
    end: Tensor,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    method: str = "dopri5",
    max_steps: int = 10_000,
) -> Solution:
    """Solve dy/dt = f(t, y) from `start` to `end`, forwards or backwards.

    Arguments:
        f: The slope.
        y: Parts of the solution at the start; their precision is that of the arithmetic.
        spaces: Where each part lives, all with the same B.
        start: Start times, shape (B,).
        end: End times, shape (B,), before or after the start times.
        rtol: Error allowed in a step, relative to |y|.
        atol: Absolute error allowed in a step, in addition to the relative one.
        method: Name of the method (`polydiff.gaussian.tableaux.METHODS`).
        max_steps: Largest number of steps, accepted or rejected.

    Raises:
        ValueError: A tolerance is negative, or both are 0.
        IntegrationError: A step becomes too short, or the steps do not suffice.
    """
    if not (rtol >= 0 and atol >= 0 and rtol + atol > 0):
        raise ValueError(f"rtol and atol must be at least 0 and not both 0; they are {rtol:g} and {atol:g}.")
    equation = Equation(f, spaces, METHODS[method], rtol, atol)
    t, end = start.double(), end.double()
    k = f(t, y)
    h = first_step(equation, y, k, end - t).detach()  # a gradient of the solution holds the steps fixed
    active = h != 0
    steps, rejected = torch.zeros_like(t, dtype=torch.long), torch.zeros_like(t, dtype=torch.long)
    for _ in range(max_steps):
        if not bool(active.any()):
            stages = len(equation.tableau.a)
            return Solution(y, 1 + stages * (steps + rejected), steps, rejected)
        new, last, error = attempt(equation, t, h, y, k)
        accepted = active & (error <= 1)
        y = select(accepted, new, y, spaces)
        k = select(accepted, last, k, spaces)
        steps, rejected = steps + accepted, rejected + (active & ~accepted)
        t = torch.where(accepted, torch.where(h == end - t, end, t + h), t)
        active = active & (t != end)
        h = next_step(h, error, accepted, end - t, equation.tableau.order)
        check_step(t, h, active)
    raise IntegrationError(
        f"{max_steps} steps did not reach the end: sample {first_index(active)} is at t = {t[active][0].item():.6g}. "
        "Use a larger rtol and atol."
    )


def attempt(equation: Equation, t: Tensor, h: Tensor, y: Parts, k: Parts) -> tuple[Parts, Parts, Tensor]:
    """Compute one step of each sample, to be accepted or rejected.

    Arguments:
        equation: The equation, its method and its tolerances.
        t: Times, shape (B,).
        h: Steps, shape (B,), negative backwards.
        y: Parts of the solution at t.
        k: Parts of the slope at t.

    Returns:
        Parts of y' at t + h, parts of the slope there, and err, shape (B,), float64: the step is accepted if err <= 1.
    """
    tableau, spaces = equation.tableau, equation.spaces
    slopes = [k]
    for row, c in zip(tableau.a, tableau.c[1:], strict=True):
        new = advance(y, h, row, slopes, spaces)
        slopes.append(equation.f(t + c * h, new))
    off = [b - low for b, low in zip(tableau.b, tableau.low, strict=True)]
    errors = advance(tuple(torch.zeros_like(part) for part in y), h, off, slopes, spaces)
    sizes = [
        norm(space, e / (equation.atol + equation.rtol * torch.maximum(part.abs(), ahead.abs())))
        for space, e, part, ahead in zip(spaces, errors, y, new, strict=True)
    ]
    return new, slopes[-1], torch.stack(sizes).amax(0).detach()  # amax keeps NaN, and a step with err NaN is rejected


def advance(y: Parts, h: Tensor, weights: Sequence[float], slopes: Sequence[Parts], spaces: Sequence[Space]) -> Parts:
    """Return y + h sum_j weights_j slopes_j, in parts.

    Arguments:
        y: Parts of the solution.
        h: Steps, shape (B,).
        weights: One weight for each slope.
        slopes: Slopes, each in parts.
        spaces: Where each part lives.
    """
    moved = []
    for i, (part, space) in enumerate(zip(y, spaces, strict=True)):
        total = sum((w * k[i] for w, k in zip(weights, slopes, strict=True) if w), torch.zeros_like(part))
        moved.append(part + space.expand(h.to(part)) * total)
    return tuple(moved)


def select(chosen: Tensor, new: Parts, old: Parts, spaces: Sequence[Space]) -> Parts:
    """Return the new parts for the chosen samples, and the old parts for the others.

    Arguments:
        chosen: Whether each sample is chosen, shape (B,).
        new: Parts of a solution or of a slope.
        old: The same parts before the step.
        spaces: Where each part lives.
    """
    triples = zip(new, old, spaces, strict=True)
    return tuple(torch.where(space.expand(chosen), a, b) for a, b, space in triples)


def norm(space: Space, x: State) -> Tensor:
    """Return the root mean square of a state over each sample's dimensions, without padding, shape (B,), float64."""
    return (space.sum(x * x) / space.dim.clamp(min=1)).double().sqrt()


def first_step(equation: Equation, y: Parts, k: Parts, span: Tensor) -> Tensor:
    """Return the first step, shape (B,): no part moves by more than 1 % of itself (Hairer et al., 1993, section II.4).

    Arguments:
        equation: The equation, its method and its tolerances.
        y: Parts of the solution at the start.
        k: Parts of the slope at the start.
        span: Time from the start to the end, shape (B,), negative backwards.
    """
    lengths = []
    for part, slope, space in zip(y, k, equation.spaces, strict=True):
        scale = equation.atol + equation.rtol * part.abs()
        size, speed = norm(space, part / scale), norm(space, slope / scale)
        lengths.append(torch.where((size > 1e-5) & (speed > 1e-5), 0.01 * size / speed, span.abs()))
    h = torch.stack([*lengths, span.abs()]).amin(0)
    return h * span.sign()


def next_step(h: Tensor, error: Tensor, accepted: Tensor, left: Tensor, order: int) -> Tensor:
    """Return the length of each sample's next step, shape (B,); it does not grow after a rejected step.

    Arguments:
        h: Last steps, shape (B,).
        error: err of these steps, shape (B,).
        accepted: Whether they were accepted, shape (B,).
        left: Time to the end, shape (B,); no step is longer.
        order: p.
    """
    factor = SAFETY * error.clamp(min=1e-10) ** (-1 / order)
    factor = torch.where(accepted, factor.clamp(SHRINK, GROW), factor.clamp(SHRINK, 1.0))
    h = h * torch.where(torch.isfinite(error), factor, SHRINK)
    return torch.where(h.abs() >= left.abs(), left, h)


def check_step(t: Tensor, h: Tensor, active: Tensor) -> None:
    """Raise IntegrationError if the step of a sample that is not done is too short to change its time."""
    stuck = active & (h.abs() <= 16 * torch.finfo(t.dtype).eps * t.abs().clamp(min=1e-30))
    if bool(stuck.any()):
        raise IntegrationError(
            f"The step of sample {first_index(stuck)} became too short at t = {t[stuck][0].item():.6g}: the slope is "
            "not finite or not smooth there, or rtol and atol are below the precision of the numbers."
        )


def first_index(chosen: Tensor) -> int:
    """Return the index of the first chosen sample; chosen is (B,)."""
    return int(chosen.nonzero()[0, 0])
