r"""The probability-flow ODE of an exact model, solved to 1e-11: the map that deterministic samplers approximate.

Symbols: x states, as vectors of d numbers, s noise level, mu mean, V variances, B batch size.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from polydiff.testing.analytic import Exact, GaussianMixture


def flow(exact: Exact, x: Tensor, s0: float, s1: float = 0.0, rtol: float = 1e-11) -> Tensor:
    """Solve the probability-flow ODE dx/ds = -s score from x at s0 to s1.

    For one Gaussian, x - mu is multiplied by sqrt((V + s1^2) / (V + s0^2)). Other models are solved by DOP853 in
    tau = asinh(s / c), where the slope dx/dtau = -s sqrt(s^2 + c^2) score is regular at s = 0.

    Arguments:
        exact: A mixture, guided or not.
        x: Vectors at s0, (B, d).
        s0: Noise level of x.
        s1: Noise level of the result, above or below s0.
        rtol: Relative and absolute tolerance of DOP853.

    Returns:
        Vectors at s1, (B, d), in float64.

    Raises:
        ImportError: scipy is not installed.
        RuntimeError: The equation could not be solved.
    """
    x = x.double()
    if isinstance(exact, GaussianMixture) and len(exact.means) == 1:
        ratio = ((exact.variances + s1**2) / (exact.variances + s0**2)).sqrt()
        return exact.means + exact.back(ratio * (exact.rotate(x) - exact.centres), x.new_ones(len(x), 1))
    c = 0.02

    def slope(tau: float, y: Tensor) -> Tensor:
        s = c * math.sinh(tau)
        return -s * math.hypot(s, c) * exact.score(y, torch.tensor([s], dtype=torch.float64))

    return dop853(slope, x, math.asinh(s0 / c), math.asinh(s1 / c), rtol)


def dop853(slope: Callable[[float, Tensor], Tensor], x: Tensor, start: float, end: float, rtol: float) -> Tensor:
    """Solve dx/dt = slope(t, x) by Dormand and Prince's method of order 8, all vectors as one system.

    Arguments:
        slope: Function (t, x) -> dx/dt, of x's shape.
        x: Vectors at the start, (B, d), float64.
        start: t of x.
        end: t of the result.
        rtol: Relative and absolute tolerance.

    Returns:
        Vectors at the end, (B, d), float64.

    Raises:
        ImportError: scipy is not installed.
        RuntimeError: The equation could not be solved.
    """
    try:
        from scipy.integrate import solve_ivp
    except ImportError as error:
        raise ImportError("The exact flow of a mixture needs scipy. Install it with: pip install scipy") from error
    solved = solve_ivp(
        lambda t, y: slope(t, torch.from_numpy(y).reshape(x.shape)).numpy().ravel(),
        (start, end), x.numpy().ravel(), method="DOP853", rtol=rtol, atol=rtol,
    )  # fmt: skip
    if not solved.success:
        raise RuntimeError(f"The exact flow could not be solved: {solved.message}")
    return torch.from_numpy(solved.y[:, -1]).reshape(x.shape)
