r"""The search for the noise levels and coefficients with which few evaluations end nearest to the ODE's solution.

The start is the sampler "auto". What is fitted are the logarithms of its levels between the first and 0, and relative
corrections c of the factors of its latest slopes,

$$ x_{i+1} = A_i x_i + \sum_j \bigl(B_{ij} + c_{ij} B_{i0}\bigr) m_{i-j}, $$

where A and B follow from the levels. The distance of the last states from the solution x* of the same ODE from the same
noise is minimised by damped Gauss-Newton steps (Levenberg, 1944; Marquardt, 1963), whose derivatives are finite
differences: no gradient of the network is needed, and every guidance method and network can be calibrated. Each
derivative serves for several steps. Samples far from their solution have small weights (Geman & McClure, 1985), since a
trajectory near the boundary of two modes says little on the others.

Fitting levels to a network's own trajectories: Sabour et al., Align Your Steps, 2024
(https://arxiv.org/abs/2404.14507); Tong et al., LD3, 2024 (https://arxiv.org/abs/2405.15506). Fitting coefficients:
Zheng et al., DPM-Solver-v3, 2023 (https://arxiv.org/abs/2310.13268).

Symbols: s noise level, n number of evaluations, theta what is fitted, p its length, x* solution, e relative distance
from it, B number of samples, R rows of a state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from polydiff.core.space import Space, State, sqnorm
from polydiff.gaussian.sampling.auto import auto_rows
from polydiff.gaussian.sampling.plan import PlanRow, Row

LEVEL_STEP, SLOPE_STEP = 0.02, 0.01
"""Steps of the finite differences, of log s and of relative corrections."""
SLOPES = {7: 3, 12: 2}
"""Evaluations up to which so many slopes of each step are corrected; beyond them it is one."""
DAMPING, LEAST_DAMPING = 1e-2, 1e-5
"""First and least damping, relative to the diagonal of the normal equations."""
TRIES = 8
"""Gauss-Newton steps with one set of derivatives, accepted or not."""
ENOUGH = 0.97
"""Ratio of errors above which another set of derivatives is not worth its cost."""
NEAREST = 1.001
"""Least ratio of neighbouring levels."""


class Solution(NamedTuple):
    """Where the ODE ends from the noise of a batch.

    Attributes:
        x: x*, states (R, ...).
        space: Where they live.
    """

    x: State
    space: Space

    def errors(self, x: State) -> Tensor:
        """Return the relative distances e of states from x*, (B,), float64 on the CPU."""
        distance = sqnorm(self.space, x - self.x) / sqnorm(self.space, self.x)
        return distance.to("cpu", torch.float64).sqrt().clamp_min(1e-12)

    def error(self, x: State) -> float:
        """Return the geometric mean of the relative distances; infinite if a state is not finite."""
        mean = float(self.errors(x).log().mean().exp())
        return mean if math.isfinite(mean) else math.inf


@dataclass(frozen=True)
class Form:
    """What theta means: log levels, then the corrections of each evaluation.

    Arguments:
        levels: Levels that theta begins at, from the highest to 0.
        evaluations: n.
        slopes: Largest number of slopes of a step that are corrected.
        sigma_data: Standard deviation of the data.
    """

    levels: tuple[float, ...]
    evaluations: int
    slopes: int
    sigma_data: float

    @property
    def free(self) -> bool:
        """Whether the first step needs no evaluation."""
        return len(self.levels) - 1 > self.evaluations

    def start(self) -> Tensor:
        """Return the theta of "auto", (p,), float64."""
        inner = torch.tensor(self.levels[1:-1], dtype=torch.float64).log()
        corrections = sum(self.corrected(row) for row in range(self.evaluations))
        return torch.cat([inner, inner.new_zeros(corrections)])

    def corrected(self, row: int) -> int:
        """Return the number of slopes of an evaluation that are corrected, 1 to `slopes`."""
        return min(row + 1, self.slopes)

    def steps(self) -> Tensor:
        """Return the steps of finite differences, (p,)."""
        steps = torch.full_like(self.start(), SLOPE_STEP)
        steps[: len(self.levels) - 2] = LEVEL_STEP
        return steps

    def rows(self, theta: Tensor) -> tuple[list[float], list[PlanRow]] | None:
        """Return the levels and the rows of a theta; None if its levels do not fall."""
        inner = len(self.levels) - 2
        levels = [self.levels[0], *theta[:inner].exp().tolist(), 0.0]
        if any(a < NEAREST * b for a, b in pairwise(levels)):
            return None
        numbers = iter(theta[inner:].tolist())
        rows = auto_rows(levels, self.free, self.sigma_data)
        return levels, [*self.with_corrections(rows, numbers)]

    def with_corrections(self, rows: Sequence[PlanRow], numbers: Iterator[float]) -> Iterator[PlanRow]:
        """Yield rows with the corrections of theta, of which as many are taken as each row has."""
        count = 0
        for row in rows:
            if not isinstance(row, Row):
                yield row
                continue
            size = self.corrected(count)
            B = [*row.B, *[0.0] * (size - len(row.B))]
            for place in range(size):
                B[place] += next(numbers) * row.B[0]
            count += 1
            yield row._replace(B=tuple(B))


Run = Callable[[Sequence[float], Sequence[PlanRow], bool], State]
"""(levels, rows, whether later calls begin like this one) -> the states at which a plan ends."""


@dataclass(frozen=True)
class Point:
    """A theta with the states that it ends at, and their error."""

    theta: Tensor
    x: State
    error: float


def fit(form: Form, run: Run, solution: Solution, rounds: int, show: Callable[[int], None]) -> Point:
    """Return the best theta that was found.

    Arguments:
        form: What theta means.
        run: Runs a plan from the noise of the batch.
        solution: Where the ODE ends from there.
        rounds: Largest number of sets of derivatives.
        show: Called with the number of plans that have been run.
    """
    search = Search(form, run, solution, show)
    best = search.at(form.start())
    assert best is not None
    damping = DAMPING
    for _ in range(rounds):
        before = best.error
        best, damping = search.descend(best, search.derivatives(best), damping)
        if best.error > ENOUGH * before:
            break
    return best


@dataclass
class Search:
    """The runs of one search; arguments as of `fit`."""

    form: Form
    run: Run
    solution: Solution
    show: Callable[[int], None]
    plans: int = 0

    def at(self, theta: Tensor, again: bool = False) -> Point | None:
        """Return the point of a theta; None if its levels do not fall. `again`: others will begin like it."""
        made = self.form.rows(theta)
        if made is None:
            return None
        self.plans += 1
        self.show(self.plans)
        x = self.run(*made, again)
        return Point(theta, x, self.solution.error(x))

    def derivatives(self, point: Point) -> Tensor:
        """Return dx / dtheta at a point by differences, (p, numbers of all states), float64 on the CPU."""
        at = self.at(point.theta, again=True)
        assert at is not None
        columns = []
        for place, size in enumerate(self.form.steps().tolist()):
            columns.append(self.difference(at, place, size))
        return torch.stack(columns)

    def difference(self, point: Point, place: int, size: float) -> Tensor:
        """Return the derivative in one number of theta, from a step up or, if levels would not fall, down; flat."""
        for step in (size, -size):
            theta = point.theta.clone()
            theta[place] += step
            if (other := self.at(theta)) is not None:
                return flat((other.x - point.x) / step)
        return torch.zeros_like(flat(point.x))  # two neighbours leave no room: the level stays

    def descend(self, best: Point, derivatives: Tensor, damping: float) -> tuple[Point, float]:
        """Return a better point, or the same, and the damping to begin with next.

        Arguments:
            best: The best point so far.
            derivatives: Derivatives there; they serve for all steps.
            damping: First damping.
        """
        for _ in range(TRIES):
            found = self.at(best.theta + self.step(best, derivatives, damping))
            if found is not None and found.error < best.error:
                best, damping = found, max(damping / 4, LEAST_DAMPING)
            else:
                damping *= 4
        return best, damping

    def step(self, point: Point, derivatives: Tensor, damping: float) -> Tensor:
        """Return the damped Gauss-Newton step, (p,).

        Arguments:
            point: Where it begins.
            derivatives: dx / dtheta, (p, numbers).
            damping: Damping, relative to the diagonal.
        """
        e = self.solution.errors(point.x)
        size = sqnorm(self.solution.space, self.solution.x).to(e)
        roots_of_samples = (size * (e.square() + e.square().median())).rsqrt()
        roots = flat(self.solution.space.expand(roots_of_samples.to(point.x)) * torch.ones_like(point.x))
        weighted = derivatives * roots
        normal = weighted @ weighted.mT
        towards = weighted @ (roots * flat(self.solution.x - point.x))
        diagonal = normal.diagonal() + 1e-12 * normal.diagonal().max()
        step: Tensor = torch.linalg.solve(normal + torch.diag(damping * diagonal), towards)
        return step


def flat(x: State) -> Tensor:
    """Return the numbers of states as one vector, float64 on the CPU."""
    return x.detach().to("cpu", torch.float64).flatten()


def form_of(levels: Sequence[float], evaluations: int, sigma_data: float) -> Form:
    """Return the form for the levels of "auto" and a number of evaluations."""
    slopes = next((count for most, count in SLOPES.items() if evaluations <= most), 1)
    return Form(tuple(levels), evaluations, slopes, sigma_data)
