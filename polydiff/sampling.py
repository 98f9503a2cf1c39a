r"""Samplers: plans of coefficients, and the one loop that runs any of them.

In the frame x = x_0 + s eps every schedule's probability-flow ODE is dx/ds = (x - D(x, s)) / s with D = E[x_0 | x]
(Karras et al., 2022, eq. 1, https://arxiv.org/abs/2206.00364), and every sampler is a list of rows

$$ x \leftarrow A\,x + \sum_j B_j m_j + C\,\xi, $$

where m_0, m_1, ... are the network's latest estimates D, newest first, and xi a standard normal draw on the space. The
numbers follow from the noise levels alone; `plan` functions compute them once, in float64. To add a sampler, write
one function (levels, **options) -> rows and register it.

Symbols: s noise level, r = s_1 / s_0, h = log(s_0 / s_1) of a step from s_0 to s_1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch

from polydiff.denoise import Denoise
from polydiff.registry import Registry
from polydiff.schedule import Schedule
from polydiff.space import Condition, Space, State


class Row(NamedTuple):
    """One update of a plan.

    Attributes:
        at: Noise level of x, at which the network is evaluated; None: no evaluation.
        A: Factor of x.
        B: Factors of the latest estimates, newest first.
        C: Factor of fresh noise.
        to: Noise level of x afterwards.
    """

    at: float | None
    A: float
    B: tuple[float, ...]
    C: float
    to: float


class Step(NamedTuple):
    """What a sampler yields after each row.

    Attributes:
        sigma: Noise level of x.
        x: The state, x_0 + sigma eps.
        x_0: The latest estimate of the clean state.
    """

    sigma: float
    x: State
    x_0: State


Plan = Callable[..., list[Row]]
SAMPLERS: Registry[Plan] = Registry("sampler")
SPACINGS: Registry[Callable[..., list[float]]] = Registry("spacing")


@SPACINGS.register("time")
def time_spacing(n: int, schedule: Schedule) -> list[float]:
    """Times uniform from the highest trained to the lowest ("linspace" of Lin et al., 2023)."""
    low, high = schedule.trained_times()
    times = torch.linspace(high, low, n, dtype=torch.float64) if n > 1 else torch.tensor([high], dtype=torch.float64)
    return schedule.noise_level(times).tolist()


@SPACINGS.register("karras")
def karras_spacing(n: int, schedule: Schedule, rho: float = 7.0) -> list[float]:
    """s_i^{1/rho} uniform (Karras et al., 2022, eq. 5, https://arxiv.org/abs/2206.00364)."""
    high, low = schedule.sigma_max ** (1 / rho), schedule.sigma_min ** (1 / rho)
    return [(high + i / max(n - 1, 1) * (low - high)) ** rho for i in range(n)]


@SPACINGS.register("log_snr")
def log_snr_spacing(n: int, schedule: Schedule) -> list[float]:
    """log s uniform (Lu et al., DPM-Solver, 2022, https://arxiv.org/abs/2206.00927)."""
    high, low = math.log(schedule.sigma_max), math.log(schedule.sigma_min)
    return [math.exp(high + i / max(n - 1, 1) * (low - high)) for i in range(n)]


@SPACINGS.register("asinh")
def asinh_spacing(n: int, schedule: Schedule, knee: float = 0.04) -> list[float]:
    """s_i = knee sinh(asinh(s_max / knee) (1 - i / n)): logarithmic above the knee, linear below, 0 at i = n."""
    top = math.asinh(schedule.sigma_max / knee)
    return [knee * math.sinh(top * (1 - i / n)) for i in range(n)]


def noise_levels(schedule: Schedule, steps: int, spacing: str = "karras", **options: float) -> list[float]:
    """Return steps + 1 decreasing noise levels, from the schedule's highest to exactly 0.

    Arguments:
        schedule: Gives the range.
        steps: Number of steps, at least 1.
        spacing: Name of the placement (`SPACINGS`).
        options: Further arguments of the placement.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}.")
    return [*SPACINGS[spacing](steps, schedule, **options), 0.0]


@SAMPLERS.register("ddim")
def ddim(levels: Sequence[float], eta: float = 0.0) -> list[Row]:
    """DDIM (Song et al., 2021, https://arxiv.org/abs/2010.02502): x <- D + s_d / s_0 (x - D) + s_u xi.

    s_u = eta s_1 sqrt(1 - s_1^2 / s_0^2) and s_d^2 = s_1^2 - s_u^2. eta = 0 is Euler's method on the probability-flow
    ODE, eta = 1 is DDPM with the small variance.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must be between 0 and 1, not {eta}.")

    def row(s0: float, s1: float) -> Row:
        up = eta * s1 * math.sqrt(1 - (s1 / s0) ** 2)
        down = math.sqrt(max(s1**2 - up**2, 0.0))
        return Row(s0, down / s0, (1 - down / s0,), up, s1)

    return [row(s0, s1) for s0, s1 in pairwise(levels)]


@SAMPLERS.register("euler")
def euler(levels: Sequence[float]) -> list[Row]:
    """Euler's method on the probability-flow ODE, order 1: in this frame, DDIM with eta = 0."""
    return ddim(levels, eta=0.0)


@SAMPLERS.register("ddpm")
def ddpm(levels: Sequence[float], variance: str = "small") -> list[Row]:
    """Ancestral sampling (Ho et al., 2020, https://arxiv.org/abs/2006.11239), order 1.

    Arguments:
        levels: Noise levels.
        variance: "small", the posterior's variance for data at a point, or "large", beta, that for unit-variance data.
            In this frame beta = (s_0^2 - s_1^2) (1 + s_1^2) / (1 + s_0^2). The last step adds no noise.
    """
    rows = ddim(levels, eta=1.0)
    if variance == "small":
        return rows
    if variance != "large":
        raise ValueError(f"variance must be 'small' or 'large', not {variance!r}.")

    def beta(s0: float, s1: float) -> float:
        return (s0**2 - s1**2) * (1 + s1**2) / (1 + s0**2) if s1 > 0 else 0.0

    return [row._replace(C=math.sqrt(beta(s0, s1))) for row, (s0, s1) in zip(rows, pairwise(levels), strict=True)]


@SAMPLERS.register("heun")
def heun(levels: Sequence[float]) -> list[Row]:
    """Heun's method (Karras et al., 2022, algorithm 1, https://arxiv.org/abs/2206.00364), order 2, 2 calls a step.

    From Euler's x' at s_1 the trapezoid is x' + (1 - r) / (2 r) (D' - D). The step to 0 is Euler's.
    """
    rows: list[Row] = []
    for s0, s1 in pairwise(levels):
        r = s1 / s0
        rows.append(Row(s0, r, (1 - r,), 0.0, s1))
        if s1 > 0:
            half = (1 - r) / (2 * r)
            rows.append(Row(s1, 1.0, (half, -half), 0.0, s1))
    return rows


@SAMPLERS.register("dpmpp_2m")
def dpmpp_2m(levels: Sequence[float]) -> list[Row]:
    """DPM-Solver++(2M) (Lu et al., 2022, https://arxiv.org/abs/2211.01095), order 2, 1 evaluation a step.

    x <- r x + (1 - r) ((1 + k) D_0 - k D_1), k = h / (2 h_before). The first step and the step to 0 are of order 1.
    """
    rows: list[Row] = []
    before = math.inf
    for s0, s1 in pairwise(levels):
        r = s1 / s0
        h = math.log(s0 / s1) if s1 > 0 else 0.0
        k = h / (2 * before)
        rows.append(Row(s0, r, ((1 - r) * (1 + k), -(1 - r) * k), 0.0, s1))
        before = h
    return rows


def evaluations(rows: Sequence[Row]) -> int:
    """Return how often a plan calls the network."""
    return sum(row.at is not None for row in rows)


@torch.no_grad()
def run_plan(
    rows: Sequence[Row],
    denoise: Denoise,
    x: State,
    space: Space,
    cond: Condition | None,
    generators: Sequence[torch.Generator],
) -> Iterator[Step]:
    """Run a plan from state x and yield after each row: the only sampling loop.

    Arguments:
        rows: The plan.
        denoise: E[x_0 | x].
        x: The state at the noise level of the first row.
        space: Where x lives.
        cond: Conditions.
        generators: One random stream a sample, for rows with C > 0.
    """
    depth = max((len(row.B) for row in rows), default=0)
    latest: list[State] = []
    for row in rows:
        if row.at is not None:
            sigma = torch.full((space.batch,), row.at, device=x.device, dtype=x.dtype)
            latest = [denoise(x, sigma, space, cond), *latest[: depth - 1]]
        x = row.A * x
        for b, m in zip(row.B, latest, strict=False):  # the first rows of a multistep plan have less history
            if b:
                x = x + b * m
        if row.C:
            x = x + row.C * space.noise(generators)
        yield Step(row.to, x, latest[0])


def trajectory(
    denoise: Denoise,
    space: Space,
    cond: Condition | None = None,
    *,
    generators: Sequence[torch.Generator],
    steps: int = 50,
    sampler: str = "dpmpp_2m",
    spacing: str = "karras",
    **options: object,
) -> Iterator[Step]:
    """Sample from noise and yield every state; arguments as in `sample`."""
    levels = noise_levels(denoise.schedule, steps, spacing)
    rows = SAMPLERS[sampler](levels, **options)
    x = levels[0] * space.noise(generators)
    return run_plan(rows, denoise, x, space, cond, generators)


def sample(
    denoise: Denoise,
    space: Space,
    cond: Condition | None = None,
    *,
    generators: Sequence[torch.Generator],
    steps: int = 50,
    sampler: str = "dpmpp_2m",
    spacing: str = "karras",
    **options: object,
) -> State:
    """Return samples on a space.

    Arguments:
        denoise: A denoiser, guided or not.
        space: Where the B samples live.
        cond: Their conditions.
        generators: One random stream a sample (`polydiff.random.streams`), so that a sample does not depend on its
            batch.
        steps: Number of steps; Heun's method calls the network twice in all but the last.
        sampler: Name of the method (`SAMPLERS`).
        spacing: Name of the placement of noise levels (`SPACINGS`).
        options: Further arguments of the method, such as eta.
    """
    path = trajectory(
        denoise, space, cond, generators=generators, steps=steps, sampler=sampler, spacing=spacing, **options
    )
    for step in path:
        x = step.x
    return x
