"""What the sampler benchmark measures on: an exact model, a range of noise levels, noise, and where it should end.

Tracks: "vp", linear betas with T = 1000 (s from 157.4 to 0.0100); "edm", s from 80 to 0.002; "flow", t from 1 to 0.

Symbols: xi the noise that sampling starts from, s noise level in the frame x = x_0 + s eps, D = E[x_0 | x].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor

from polydiff.core.space import Space
from polydiff.core.streams import streams
from polydiff.gaussian.schedule.base import SCHEDULES, Schedule
from polydiff.testing.analytic import GaussianMixture, Guided
from polydiff.testing.exact_flow import flow
from polydiff.testing.problems import SUITES, Problem

INFINITY = 1e6
"""The noise level that stands for t = 1 on the flow track."""


@cache
def schedule(track: str) -> Schedule:
    """Return the schedule of a track."""
    return SCHEDULES[{"vp": "linear", "edm": "edm", "flow": "flow"}[track]]()


@dataclass(eq=False)
class Case:
    """One problem on one track with n states of noise.

    Arguments:
        problem: The problem.
        track: "vp", "edm" or "flow".
        n: Number of samples.
    """

    problem: Problem
    track: str
    n: int
    exact: GaussianMixture | Guided = field(init=False)
    xi: Tensor = field(init=False)
    calls: int = 0

    def __post_init__(self) -> None:
        self.exact = self.problem.denoise(schedule(self.track))
        self.xi = self.space.noise(self.generators()).reshape(self.n, -1)

    @property
    def space(self) -> Space:
        """Where polydiff's states live, in float32."""
        return self.problem.space(self.n)

    @property
    def top(self) -> float:
        """The highest noise level."""
        return schedule(self.track).sigma_max

    @property
    def bottom(self) -> float:
        """The lowest noise level trained."""
        return schedule(self.track).sigma_min

    def generators(self) -> list[torch.Generator]:
        """Return the streams that xi is drawn from, at their beginning."""
        return streams(0, "benchmark", range(self.n))

    def model(self, x: Tensor, s: float) -> Tensor:
        """Return D for x (B, d) at noise level s, in the precision of x: the network of every peer."""
        self.calls += 1
        return self.exact.mean(x.double(), torch.tensor([s], dtype=torch.float64)).to(x.dtype)

    def truth(self) -> Tensor:
        """Return where the probability-flow ODE ends, float64."""
        state = self.xi.double().reshape(self.n, *self.problem.shape)
        xi = self.space.project(state).reshape(self.n, -1)  # exactly: what float32 leaves is not small at `INFINITY`
        if self.track != "flow":
            return flow(self.exact, self.top * xi, self.top)
        far = INFINITY * xi
        return flow(self.exact, far + self.exact.mean(far, torch.tensor([INFINITY])), INFINITY)


@dataclass(frozen=True)
class Method:
    """A sampler in one configuration.

    Arguments:
        library: Whose.
        name: Configuration.
        tracks: Where it can be used.
        run: (case, steps) -> samples (n, d).
        default: Whether it is what the library does by default.
        noisy: Whether it draws noise on the way.
    """

    library: str
    name: str
    tracks: tuple[str, ...]
    run: Callable[[Case, int], Tensor]
    default: bool = False
    noisy: bool = False

    @property
    def label(self) -> str:
        """Library and configuration."""
        return f"{self.library} {self.name}"


@cache
def calls(method: Method, track: str, steps: int) -> float:
    """Return how often a method calls the network; infinity where it fails."""
    case = Case(SUITES["core"]()[1], track, 1)
    try:
        method.run(case, steps)
    except Exception:  # noqa: BLE001 - a peer that cannot take so many steps is a result
        return math.inf
    return case.calls


@cache
def affordable(method: Method, track: str, budget: int) -> int:
    """Return the largest number of steps with at most so many calls, 0 if there is none."""
    return next((n for n in range(budget + 1, 0, -1) if calls(method, track, n) <= budget), 0)


def short(value: float) -> str:
    """Return two digits."""
    return "-" if not math.isfinite(value) else f"{value:.2g}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
