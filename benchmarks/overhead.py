"""What samplers cost apart from the network.

A run of n steps with a network that costs one multiplication, less the time of that network, over n. On a small state
in microseconds a step: interpreter and library overhead. On a large one in passes over memory: over the time of
`torch.add` of two tensors of that size. Each run computes its plans and tables, as a user's call does; polydiff
caches plans that are requested again. Two bare tensor operations (x <- a x + b D) are beside them as what a step
must cost. Memory that is freed is kept for the next tensor (`keep_memory`), as torch does on a GPU; else the
operating system's clearing of pages would be most of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from cases import Case, Method, table
from torch import Tensor

from polydiff.core.conditions import Condition
from polydiff.core.space import Euclidean, Space
from polydiff.testing.problems import Problem, ring

SMALL, LARGE = (4, 3, 8, 8), (16, 3, 256, 256)
WATCHED = (
    "polydiff ddim", "polydiff dpmpp_2m", "polydiff unipc", "polydiff auto", "polydiff adams 3",
    "diffusers DDIM leading", "diffusers DPM++2M linspace", "diffusers UniPC2 linspace", "diffusers Euler linspace",
    "diffusers DEIS2 linspace", "k-diffusion euler karras", "k-diffusion dpmpp_2m karras",
    "k-diffusion lms4 karras", "azula Euler vp", "azula zEAB2 vp",
)  # fmt: skip


class Cheap:
    """A denoiser of one multiplication."""

    sigma_data = 0.5

    def __init__(self, schedule: Any) -> None:
        self.schedule = schedule

    def __call__(self, x: Tensor, sigma: Tensor, space: Space, cond: Condition | None = None) -> Tensor:
        return 0.5 * x


class CheapCase(Case):
    """A case of any size whose model is one multiplication."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.size = shape
        super().__init__(Problem("cheap", ring(10, 8), shape[1:]), "vp", shape[0])
        self.exact = Cheap(self.exact.schedule)  # type: ignore[assignment]
        self.xi = self.xi.reshape(shape)

    @property
    def space(self) -> Space:
        return Euclidean(self.n, self.problem.shape)

    def model(self, x: Tensor, s: float) -> Tensor:
        self.calls += 1
        return 0.5 * x


def seconds(run: Callable[[], object], rounds: int) -> float:
    """Return the least processor time of a call, after one that warms up: other load can only add to it."""
    times = []
    for _ in range(rounds + 1):
        start = time.thread_time()
        run()
        times.append(time.thread_time() - start)
    return min(times[1:])


def bare(case: CheapCase, steps: int) -> Tensor:
    """Run a step of two tensor operations."""
    x = case.xi
    for _ in range(steps):
        x = 0.9 * x + 0.1 * case.model(x, 1.0)
    return x


def overhead(
    run: Callable[[Case, int], Tensor], shape: tuple[int, ...], steps: int, rounds: int, draws_first: bool
) -> float:
    """Return the seconds of a step, less those of the network, and of the first noise where the run draws it."""
    case = CheapCase(shape)
    network = seconds(lambda: case.model(case.xi, 1.0), 4 * rounds)
    draws = seconds(lambda: case.space.noise(case.generators()), rounds) if draws_first else 0.0
    return (seconds(lambda: run(case, steps), rounds) - draws) / steps - network


def report(ours: list[Method], theirs: list[Method], quick: bool, raw: dict[str, Any]) -> str:
    """Return the table of overheads."""
    rounds = 3 if quick else 9
    runs: dict[str, Callable[[Any, int], Tensor]] = {"two tensor operations": bare}
    runs |= {m.label: m.run for m in [*ours, *theirs] if m.label in WATCHED}
    a, b = torch.ones(LARGE), torch.ones(LARGE)
    rows = []
    for name, run in runs.items():
        small = overhead(run, SMALL, 50, rounds, name.startswith("polydiff"))
        passes = seconds(lambda: torch.add(a, b), 5 * rounds)
        large = overhead(run, LARGE, 10, rounds, name.startswith("polydiff")) / passes
        raw.setdefault("overhead", {})[name] = (small, large)
        rows.append([name, f"{1e6 * small:.0f}", f"{large:.1f}"])
    head = ["", f"microseconds a step, {SMALL}", f"passes over memory a step, {LARGE}"]
    return "\n".join(["### What a step costs apart from the network\n", table(head, rows), ""])
