"""The standard deviation that samplers give Gaussian data, over all schedules and placements of noise levels.

    python benchmarks/first_steps.py [--schedules edm linear ...] [--steps 5 10 20 50 250] [--laplace] [--quick]

Each sampler steps on the exact denoiser of N(0, 1) with its default options. The standard deviation of its samples
follows from the coefficients of its plan, without random numbers (`polydiff.testing.gaussian_law`). A cell is its
lowest and highest value over schedules, with and without zero terminal SNR, and placements. The last column is the
least number of steps of the table from which on all values are within 10 % of 1. Placements in the time of the schedule
`laplace` are left out: half of its times lie within a factor of 1.2 in noise. `--laplace` prints these alone.

All schedules take two CPU minutes, `--quick` (three schedules) takes half a minute.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence

import torch
from cases import table

from polydiff.gaussian.sampling.plan import SAMPLERS, rows_on
from polydiff.gaussian.sampling.spacing import SPACINGS, noise_levels
from polydiff.gaussian.schedule.base import SCHEDULES, Schedule
from polydiff.gaussian.schedule.tables import Discrete
from polydiff.testing.gaussian_law import sampled_std

STEPS = (5, 10, 20, 50, 250)
QUICK = ("edm", "linear", "cosine_betas")
IN_TIME = ("time", "trailing", "leading", "quadratic")
"""Placements that are uniform in a function of the schedule's time."""
WITHIN = 0.1
"""Largest difference from 1 of a standard deviation that counts as right."""


def schedules(names: Sequence[str]) -> Iterator[tuple[str, Schedule]]:
    """Yield schedules by name, those that are tables of betas also with zero terminal SNR."""
    for name in names:
        made = SCHEDULES[name]()
        yield name, made
        if isinstance(made, Discrete):
            yield name, SCHEDULES[name](zero_terminal_snr=True)


def placements(name: str, laplace: bool) -> list[str]:
    """Return the placements that the table covers on a schedule."""
    if laplace:
        return list(IN_TIME)
    return [place for place in SPACINGS if place != "own" and not (name == "laplace" and place in IN_TIME)]


def extremes(names: Sequence[str], steps: int, laplace: bool) -> dict[str, tuple[float, float]]:
    """Return the lowest and highest standard deviation of each sampler.

    Arguments:
        names: Names of schedules.
        steps: Number of steps.
        laplace: Whether to cover only placements in time.
    """
    samplers = [name for name in SAMPLERS if name not in ("adaptive", "calibrated")]  # which have no steps of their own
    found: dict[str, tuple[float, float]] = dict.fromkeys(samplers, (math.inf, 0.0))
    for name, schedule in schedules(names):
        for place in placements(name, laplace):
            levels = noise_levels(schedule, steps, place)
            for sampler in samplers:
                std = sampled_std(rows_on(levels, sampler), levels[0])
                low, high = found[sampler]
                found[sampler] = min(low, std), max(high, std)
    return found


def reached(found: Sequence[tuple[float, float]], steps: Sequence[int]) -> str:
    """Return the least number of steps from which on both extremes are right, or "-"."""
    least = "-"
    for n, (low, high) in zip(reversed(steps), reversed(found), strict=True):
        if not (low > 1 - WITHIN and high < 1 + WITHIN):
            break
        least = str(n)
    return least


def report(names: Sequence[str], steps: Sequence[int], laplace: bool) -> str:
    """Return the table. Arguments as in `extremes`, with several numbers of steps."""
    columns = [extremes(names, n, laplace) for n in steps]
    rows = []
    for sampler in columns[0]:
        found = [column[sampler] for column in columns]
        rows.append([f"`{sampler}`", *(f"{low:.2f} to {high:.2f}" for low, high in found), reached(found, steps)])
    return table(["sampler", *map(str, steps), "within 10 % from"], rows)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", nargs="+", default=list(SCHEDULES), choices=list(SCHEDULES), metavar="NAME")
    parser.add_argument("--steps", nargs="+", type=int, default=STEPS)
    parser.add_argument("--laplace", action="store_true", help="only the schedule laplace, placed in its own time")
    parser.add_argument("--quick", action="store_true", help=f"only the schedules {', '.join(QUICK)}")
    args = parser.parse_args()
    torch.set_num_threads(1)
    names = ["laplace"] if args.laplace else list(QUICK) if args.quick else args.schedules
    print(report(names, sorted(args.steps), args.laplace))


if __name__ == "__main__":
    main()
