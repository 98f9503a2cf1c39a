"""The exact law of what a sampler draws on Gaussian data, from the coefficients of its plan alone.

On N(0, std^2) the denoiser is linear, D = std^2 / (std^2 + s^2) x, and so is every row of a plan in the state and the
latest slopes. The covariance of these changes with each row as a matrix product.

Symbols: s noise level, D estimate of the clean state, A, B, C, P, Q coefficients of a row.
"""

from __future__ import annotations

import math

import numpy as np

from polydiff.gaussian.sampling.plan import Plan, Renoise, Row, evaluation_rows


def sampled_std(rows: Plan, first: float, std: float = 1.0) -> float:
    """Return the exact standard deviation of the samples of a plan on data N(0, std^2).

    Arguments:
        rows: The plan, without a `Solve`.
        first: Standard deviation of the states at which it starts; the first noise level, if they are noise alone.
        std: Standard deviation of the data.

    Raises:
        TypeError: The plan has a `Solve`, whose coefficients depend on the samples.
    """
    depth = max(len(row.B) for row in evaluation_rows(rows))
    covariance = np.zeros((depth + 1, depth + 1))  # of the state and the slopes, newest first
    covariance[0, 0] = first**2
    for row in rows:
        change = np.eye(depth + 1)
        if isinstance(row, Row):
            slope = row.P * std**2 / (std**2 + row.at**2) + row.Q
            change = np.eye(depth + 1, k=-1)
            change[1, 0] = slope
            change[0, 0] = row.A + row.B[0] * slope
            change[0, 1 : len(row.B)] = row.B[1:]
        elif isinstance(row, Renoise):
            change[0, 0] = row.A
        else:
            raise TypeError("The law of a plan with an integrator (`Solve`) is not a product of its coefficients.")
        covariance = change @ covariance @ change.T
        covariance[0, 0] += row.C**2
    return math.sqrt(max(covariance[0, 0], 0.0))
