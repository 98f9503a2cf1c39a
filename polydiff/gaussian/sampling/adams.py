r"""Coefficients of Adams methods: one engine for every frame, interpolation variable and order, with a free corrector.

The probability-flow ODE can be written in several frames. Each has a scaled state y with its own slope m:

$$ y = x / N(s), \qquad \frac{dy}{ds} = w(s)\, m, \qquad m = P(s)\, D + Q(s)\, x. $$

An Adams-Bashforth step of order k interpolates the latest k slopes by a polynomial of a variable V(s). It integrates
the polynomial exactly against the weight w, so the change of the scale N causes no error:

$$ x_1 = \frac{N_1}{N_0} x_0 + \sum_{j<k} B_j m_j, \qquad B_j = N_1 \int_{s_0}^{s_1} w(s)\, \ell_j(V(s))\, ds. $$

As soon as the slope at s_1 is known, an Adams-Moulton step of order k + 1 would be more accurate. Both steps have the
same factor of x, so they differ by a combination of slopes. The following row adds this difference: a corrector that
costs neither an evaluation nor memory (UniC: Zhao et al., 2023, https://arxiv.org/abs/2302.04867).

Symbols: s noise level, s_0 and s_1 its values at the two ends of a step, x_0 and x_1 the states there, sd standard
deviation of the data, D estimate of the clean state, l_j Lagrange polynomials through the nodes V(s) of the slopes,
xi standard normal noise, tau strength of noise (0: the ODE, 1: the reverse SDE).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from polydiff.support.errors import unknown

Array = NDArray[np.float64]


class Frame(NamedTuple):
    """A frame of the probability-flow ODE; each field is a function of (s, sd).

    Attributes:
        scale: N, the scale of the state y = x / N.
        weight: w, the factor of m in dy/ds.
        P: Factor of D in m.
        Q: Factor of x in m.
    """

    scale: Callable[[float, float], float]
    weight: Callable[[Array, float], Array]
    P: Callable[[float, float], float]
    Q: Callable[[float, float], float]


FRAMES: dict[str, Frame] = {
    # m = D: the exponential integrators of DPM-Solver++ (Lu et al., 2022)
    "x0": Frame(lambda s, d: s, lambda s, d: -1 / s**2, lambda s, d: 1.0, lambda s, d: 0.0),
    # m = eps: DEIS, DPM-Solver, LMS (Zhang & Chen, 2022)
    "eps": Frame(lambda s, d: 1.0, lambda s, d: np.ones_like(s), lambda s, d: -1 / s, lambda s, d: 1 / s),
    # m = -F of EDM, the slope in the angle atan(s / sd): 0 for data N(0, sd^2), which is solved exactly
    "v": Frame(
        math.hypot,
        lambda s, d: d / (s**2 + d**2),
        lambda s, d: -math.hypot(s, d) / (s * d),
        lambda s, d: d / (s * math.hypot(s, d)),
    ),
    # m = eps - D / sd, the velocity of rectified flow for data of unit variance
    "flow": Frame(lambda s, d: s + d, lambda s, d: d / (s + d) ** 2, lambda s, d: -(1 / s + 1 / d), lambda s, d: 1 / s),
}

"""Name -> frame; the clean state, the noise, and the velocities of EDM and of rectified flow as slopes."""

VARIABLES: dict[str, Callable[[Array, float], Array]] = {
    "log": lambda s, d: np.log(s),
    "sigma": lambda s, d: s,
    "root": lambda s, d: np.sqrt(s),
    "cbrt": lambda s, d: np.cbrt(s),
    "angle": lambda s, d: np.arctan(s / d),
    "ratio": lambda s, d: s / (s + d),
    "time": lambda s, d: vp_time(s),
}
"""Name -> (s, sd) -> V(s), the variable in which slopes are interpolated."""


def vp_time(s: Array, beta_0: float = 0.1, beta_1: float = 20.0) -> Array:
    """Return the time of the VP SDE at a noise level (Song et al., 2021, https://arxiv.org/abs/2011.13456)."""
    q = 2 * (beta_1 - beta_0) * np.log1p(np.square(s))
    return q / ((np.sqrt(beta_0**2 + q) + beta_0) * (beta_1 - beta_0))


def lagrange(at: Array, nodes: Array) -> Array:
    """Return the Lagrange polynomials l_j of distinct nodes (k,) at the points `at`, shape (k, *at.shape)."""
    basis = [
        np.prod([(at - other) / (node - other) for k, other in enumerate(nodes) if k != j], axis=0, initial=1.0)
        for j, node in enumerate(nodes)
    ]
    return np.stack([np.broadcast_to(b, np.shape(at)) for b in basis])


def safe_order(s1: float, nodes: Sequence[float], order: int, variable: str, sd: float, limit: float) -> int:
    """Return the highest order, up to a given one, whose weights do not grow too large.

    The weights of order k at the end of a step, sum_j |l_j(V(s_1))|, multiply the errors of the network. They are
    2^k - 1 for equal steps, and far larger for a step that is long compared with the distances of its nodes, such as
    the last step to 0 on a grid that is dense before it.

    Arguments:
        s1: Noise level at the end of the step.
        nodes: Noise levels of the known slopes, newest first.
        order: The given order.
        variable: Name of the variable in which slopes are interpolated (`VARIABLES`).
        sd: Standard deviation of the data.
        limit: Largest ratio of the weights to those of equal steps.
    """
    V = VARIABLES[variable]
    for k in range(min(order, len(nodes)), 1, -1):
        if np.abs(lagrange(V(np.asarray(s1), sd), V(np.asarray(nodes[:k]), sd))).sum() <= limit * (2**k - 1):
            return k
    return 1


GAUSS = np.polynomial.legendre.leggauss(64)


def quadrature(s0: float, s1: float, sd: float) -> tuple[Array, Array]:
    """Return 64 points between s1 and s0 and 64 weights: sum w f(s) is the integral of f from s0 to s1.

    The variable of integration is log s, in which all integrands are smooth. For s1 = 0 it is q in [0, 1] with
    s = c sinh(asinh(s0 / c) q^3), c = sd / 4, in which even a cube root of s is smooth at 0.

    Arguments:
        s0: Noise level at the start of the step.
        s1: Noise level at its end, from 0.
        sd: Standard deviation of the data.
    """
    nodes, weights = GAUSS
    q = (nodes + 1) / 2
    if s1 > 0:
        h = math.log(s1 / s0)
        s = s0 * np.exp(h * q)
        return s, s * h * weights / 2
    c = sd / 4
    top = math.asinh(s0 / c)
    return c * np.sinh(top * q**3), -3 * top * q**2 * c * np.cosh(top * q**3) * weights / 2


def step(
    s0: float, s1: float, nodes: Sequence[float], frame: str, variable: str, sd: float = 1.0, tau: float = 0.0
) -> tuple[float, list[float], float]:
    """Return (A, [B_j], C) of a step from known slopes: x_1 = A x_0 + sum_j B_j m_j + C xi.

    With tau > 0 (frame x0 only) the step solves the SDE of noise strength tau, constant over the step. The kernel of D
    is (1 + tau^2) (s_1 / s)^(1 + tau^2) d log s (Xue et al., SA-Solver, 2023, https://arxiv.org/abs/2309.05019).

    Arguments:
        s0: Noise level at the start of the step.
        s1: Noise level at its end; 0 is allowed.
        nodes: Noise levels of the slopes m_j, distinct and newest first; their number is the order of the step.
        frame: Name of the frame (`FRAMES`).
        variable: Name of the variable in which slopes are interpolated (`VARIABLES`).
        sd: Standard deviation of the data.
        tau: Strength of noise; 0: the ODE.

    Returns:
        A, the factor of the state; one factor B_j for each node; C, the factor of fresh noise.
    """
    V = VARIABLES[variable]
    at = V(np.asarray(nodes), sd)
    if frame == "x0" and s1 == 0:  # all the weight of the kernel is at s = 0
        return 0.0, lagrange(V(np.zeros(()), sd), at).tolist(), 0.0
    s, ds = quadrature(s0, s1, sd)
    basis = lagrange(V(s, sd), at)
    if frame == "x0":
        power = 1 + tau**2
        r = (s1 / s0) ** power
        B = basis @ (-power * (s1 / s) ** power / s * ds)
        return r, B.tolist(), s1 * math.sqrt(1 - (s1 / s0) ** (2 * tau**2))
    N, w = FRAMES[frame].scale, FRAMES[frame].weight
    return N(s1, sd) / N(s0, sd), (N(s1, sd) * basis @ (w(s, sd) * ds)).tolist(), 0.0


def check_options(order: int, frame: str, variable: str, corrector: int, tau: float, last: str) -> None:
    """Raise ValueError if an option of `adams` has an unknown name or two options contradict each other.

    Arguments:
        order: Number of slopes in a step, 1 to 6.
        frame: Name of the frame (`FRAMES`).
        variable: Name of the variable (`VARIABLES`).
        corrector: Number of slopes in the corrector, 0 to 7.
        tau: Strength of noise, at least 0; above 0 only in the frame x0.
        last: "same", "none" or the name of the variable of the step to 0.
    """
    if frame not in FRAMES:
        raise ValueError(str(unknown("frame", frame, FRAMES)))
    if variable not in VARIABLES:
        raise ValueError(str(unknown("variable", variable, VARIABLES)))
    if last == "log" or last not in {*VARIABLES, "same", "none"}:
        raise ValueError(f"last must be 'same', 'none' or a variable that is finite at s = 0, not {last!r}.")
    whole("order", order, 1, 6)
    whole("corrector", corrector, 0, 7)
    if tau < 0 or (tau > 0 and frame != "x0"):
        raise ValueError(f"tau must be at least 0, and 0 in any frame but x0; it is {tau:g} in the frame {frame}.")


def whole(name: str, value: float, least: int, most: int) -> int:
    """Return a value as an int; raise ValueError if it is not whole or not within bounds.

    Arguments:
        name: Name of the option, for the message.
        value: The value.
        least: Lowest value allowed.
        most: Highest value allowed.
    """
    if int(value) != value or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number between {least} and {most}, not {value}.")
    return int(value)


def add_padded(a: Sequence[float], b: Sequence[float], factor: float = 1.0) -> tuple[float, ...]:
    """Return a + factor b, elementwise, with zeros appended to the shorter one."""
    return tuple(x + factor * y for x, y in zip_longest(a, b, fillvalue=0.0))
