r"""Linear multistep samplers: one engine for every frame, interpolation variable and order, with a free corrector.

The probability-flow ODE can be written in several frames, each a scaled state y whose slope is smooth in its own way:

$$ y = x / N(s), \qquad \frac{dy}{ds} = w(s)\, m, \qquad m = P(s)\, D + Q(s)\, x. $$

An Adams-Bashforth step of order k puts a polynomial of a variable V(s) through the latest k slopes and integrates it
exactly against the weight, so the part described by N is solved without error:

$$ x_1 = \frac{N_1}{N_0} x_0 + \sum_{j<k} B_j m_j, \qquad B_j = N_1 \int_{s_0}^{s_1} w(s)\, \ell_j(V(s))\, ds. $$

Once the slope at s_1 is known, an Adams-Moulton step of order k + 1 could have been taken. Both share the factor of x,
so the better step is the old one plus a combination of slopes: a corrector that costs no evaluation (UniC: Zhao et al.,
2023, https://arxiv.org/abs/2302.04867) and no memory, folded into the row that follows.

Symbols: s noise level, sd the data's standard deviation, n = sqrt(s^2 + sd^2), l_j Lagrange polynomials, tau the
strength of noise (0: the ODE, 1: the reverse SDE).
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
    """A way to write the probability-flow ODE; each field is a function of (s, sd).

    Attributes:
        scale: N, the scale of the state.
        weight: w, its slope for m = 1.
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
    # m = -F of EDM, the slope along the angle atan(s / sd): 0 for N(0, sd^2), which is solved exactly
    "v": Frame(
        math.hypot,
        lambda s, d: d / (s**2 + d**2),
        lambda s, d: -math.hypot(s, d) / (s * d),
        lambda s, d: d / (s * math.hypot(s, d)),
    ),
    # m = eps - D / sd, the velocity of rectified flow for data of unit variance
    "flow": Frame(lambda s, d: s + d, lambda s, d: d / (s + d) ** 2, lambda s, d: -(1 / s + 1 / d), lambda s, d: 1 / s),
}

VARIABLES: dict[str, Callable[[Array, float], Array]] = {
    "log": lambda s, d: np.log(s),
    "sigma": lambda s, d: s,
    "root": lambda s, d: np.sqrt(s),
    "cbrt": lambda s, d: np.cbrt(s),
    "angle": lambda s, d: np.arctan(s / d),
    "ratio": lambda s, d: s / (s + d),
    "time": lambda s, d: vp_time(s),
}


def vp_time(s: Array, beta_0: float = 0.1, beta_1: float = 20.0) -> Array:
    """Return the time of the VP SDE at a noise level (Song et al., 2021, https://arxiv.org/abs/2011.13456)."""
    q = 2 * (beta_1 - beta_0) * np.log1p(np.square(s))
    return q / ((np.sqrt(beta_0**2 + q) + beta_0) * (beta_1 - beta_0))


def lagrange(at: Array, nodes: Array) -> Array:
    """Return l_j(at) for the polynomials through distinct nodes, shape (nodes, *at)."""
    basis = [
        np.prod([(at - other) / (node - other) for k, other in enumerate(nodes) if k != j], axis=0, initial=1.0)
        for j, node in enumerate(nodes)
    ]
    return np.stack([np.broadcast_to(b, np.shape(at)) for b in basis])


def safe_order(s1: float, nodes: Sequence[float], order: int, variable: str, sd: float, limit: float) -> int:
    """Return the highest order, up to the given one, that does not extrapolate too far beyond close nodes.

    The weights of order k at the end of a step, sum_j |l_j(V(s_1))|, are 2^k - 1 for equal steps; a longer step, as
    that to 0 on a grid that crowds before it, would multiply the errors of the network by far more.

    Arguments:
        s1: Noise level at the step's end.
        nodes: Noise levels of the known slopes, newest first.
        order: The highest order.
        variable: In which slopes are interpolated (`VARIABLES`).
        sd: Standard deviation of the data.
        limit: How many times larger than for equal steps the weights may be.
    """
    V = VARIABLES[variable]
    for k in range(min(order, len(nodes)), 1, -1):
        if np.abs(lagrange(V(np.asarray(s1), sd), V(np.asarray(nodes[:k]), sd))).sum() <= limit * (2**k - 1):
            return k
    return 1


GAUSS = np.polynomial.legendre.leggauss(64)


def quadrature(s0: float, s1: float, sd: float) -> tuple[Array, Array]:
    """Return points between s1 and s0 and weights, so that sum w f(s) is the integral of f from s0 to s1.

    In log s all integrands are smooth; where s1 = 0, in q with s = c sinh(u q^3), which also smooths a cube root at 0.
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
    """Return (A, [B_j], C) of a step through known slopes: x_1 = A x_0 + sum_j B_j m_j + C xi.

    With tau > 0 (frame x0 only) the SDE of noise strength tau is solved, tau constant over the step: the kernel of D is
    (1 + tau^2) (s_1 / s)^(1 + tau^2) d log s (Xue et al., SA-Solver, 2023, https://arxiv.org/abs/2309.05019).

    Arguments:
        s0: Noise level at the step's beginning.
        s1: Noise level at its end; 0 is allowed.
        nodes: Noise levels of the slopes m_j, distinct and newest first; as many as the step's order.
        frame: What is integrated (`FRAMES`).
        variable: In which slopes are interpolated (`VARIABLES`).
        sd: Standard deviation of the data.
        tau: Strength of noise; 0: the ODE.

    Returns:
        The factor of x_0, one factor for each node, and the factor of fresh noise.
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


def check(order: int, frame: str, variable: str, corrector: int, tau: float, last: str) -> None:
    """Raise ValueError if an option of `adams` has an unknown name or two options contradict each other.

    Arguments:
        order: Slopes that a step uses, 1 to 6.
        frame: Name of the frame (`FRAMES`).
        variable: Name of the variable (`VARIABLES`).
        corrector: Slopes that the corrector uses, 0 to 7.
        tau: Strength of noise, which needs the frame x0.
        last: "same", "none" or the variable of the step to 0.
    """
    if frame not in FRAMES:
        raise ValueError(str(unknown("frame", frame, FRAMES)))
    if variable not in VARIABLES:
        raise ValueError(str(unknown("variable", variable, VARIABLES)))
    if last == "log" or last not in {*VARIABLES, "same", "none"}:
        raise ValueError(f"last must be 'same', 'none' or a variable that has a value at s = 0, not {last!r}.")
    whole("order", order, 1, 6)
    whole("corrector", corrector, 0, 7)
    if tau < 0 or (tau > 0 and frame != "x0"):
        raise ValueError(f"tau={tau:g} must be at least 0, and noise needs the frame x0; the frame is {frame}.")


def whole(name: str, value: float, least: int, most: int) -> int:
    """Return a whole number; raise ValueError if it is not whole or not within bounds.

    Arguments:
        name: Name of the option, for the message.
        value: The number.
        least: Lowest value allowed.
        most: Highest value allowed.
    """
    if int(value) != value or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number between {least} and {most}, not {value}.")
    return int(value)


def add_padded(a: Sequence[float], b: Sequence[float], factor: float = 1.0) -> tuple[float, ...]:
    """Return a + factor b, the shorter one continued by zeros."""
    return tuple(x + factor * y for x, y in zip_longest(a, b, fillvalue=0.0))
