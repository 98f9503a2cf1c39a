"""How near averages of other widths can be reconstructed from snapshots: python benchmarks/averages.py.

Snapshots of the two stored averages are taken evenly over training; the error is that of the mixture's profile over
time, relative to the profile of the width that is wanted (`polydiff.run.averages.mixture`).
"""

from __future__ import annotations

from cases import short, table

from polydiff.run.averages import SIGMAS, Profile, exponent, mixture

STEPS = 1000
COUNTS, WIDTHS = (4, 8, 16, 32), (0.03, 0.04, 0.07, 0.12, 0.15, 0.2)


def error(snapshots: int, width: float) -> float:
    """Return the relative error of a width at the end of training."""
    times = [STEPS * (i + 1) / snapshots for i in range(snapshots)]
    kept = [Profile(t, exponent(sigma)) for t in times for sigma in SIGMAS]
    return mixture(kept, Profile(STEPS, exponent(width)))[1]


if __name__ == "__main__":
    rows = [[str(n), *(short(error(n, width)) for width in WIDTHS)] for n in COUNTS]
    print(table(["snapshots", *map(str, WIDTHS)], rows))
