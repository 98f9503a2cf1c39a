r"""Rows with given coefficients: the sampler "calibrated", whose numbers `polydiff.gaussian.calibration` fits.

It is a multistep method in the frame of rectified flow, as "auto" is, with coefficients that follow from no formula:

$$ x_{i+1} = A_i x_i + \sum_j B_{ij} m_{i-j}, \qquad m = \frac{x - D}{s} - \frac{D}{sd}. $$

Symbols: s noise level, sd standard deviation of the data, D estimate of the clean state, m slope.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from polydiff.gaussian.sampling.adams import FRAMES
from polydiff.gaussian.sampling.plan import SAMPLERS, Plan, PlanRow, Renoise, Row


@SAMPLERS.register("calibrated")
def calibrated(
    levels: Sequence[float],
    scale: Sequence[float] = (),
    slopes: Sequence[Sequence[float]] = (),
    sigma_data: float = 1.0,
) -> list[PlanRow]:
    """Return rows with given coefficients, in the frame of rectified flow.

    Arguments:
        levels: Noise levels.
        scale: Factor A of the state of each step.
        slopes: Factors B of the latest slopes of each step, newest first; none for a step without an evaluation.
        sigma_data: Standard deviation of the data.

    Raises:
        ValueError: The coefficients are not those of as many steps.
    """
    check_coefficients(len(levels) - 1, scale, slopes)
    P, Q = FRAMES["flow"].P, FRAMES["flow"].Q
    return [
        Row(s0, A, tuple(B), 0.0, s1, P(s0, sigma_data), Q(s0, sigma_data)) if B else Renoise(s1, A)
        for (s0, s1), A, B in zip(pairwise(levels), scale, slopes, strict=True)
    ]


def check_coefficients(steps: int, scale: Sequence[float], slopes: Sequence[Sequence[float]]) -> None:
    """Raise ValueError unless `calibrated` can use these coefficients for a number of steps.

    Arguments:
        steps: Number of steps, those without an evaluation included.
        scale: Factors of the state.
        slopes: Factors of the slopes.
    """
    if not scale:
        raise ValueError(
            "the sampler calibrated needs coefficients that were fitted to a trained network, scale and slopes. "
            "Type: polydiff calibrate RUN --steps 8, then polydiff sample RUN --steps 8 --sampler calibrated."
        )
    if not len(scale) == len(slopes) == steps:
        raise ValueError(f"scale and slopes need an entry for each of {steps} steps, not {len(scale)}, {len(slopes)}.")
    known = 0
    for step, (A, B) in enumerate(zip(scale, slopes, strict=True), 1):
        known += bool(B)
        if len(B) > known or not all(map(math.isfinite, (A, *B))):
            raise ValueError(f"step {step} should have finite coefficients of at most {known} slopes, not {[A, *B]}.")


def coefficients(rows: Plan) -> dict[str, Any]:
    """Return the options with which `calibrated` makes rows again that are in the frame of rectified flow.

    Raises:
        ValueError: A row draws noise, or solves by itself.
    """
    return {"scale": [row.A for row in plain(rows)], "slopes": [slopes_of(row) for row in plain(rows)]}


def plain(rows: Plan) -> Iterable[Row | Renoise]:
    """Yield rows; raise ValueError at one that is more than a sum of known states."""
    for row in rows:
        if not isinstance(row, Row | Renoise) or row.C:
            raise ValueError(f"Only steps without noise have coefficients to calibrate, not {row}.")
        yield row


def slopes_of(row: Row | Renoise) -> list[float]:
    """Return the factors of the slopes in a row."""
    return list(row.B) if isinstance(row, Row) else []
