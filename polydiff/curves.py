"""Curves of training as SVG: every value faintly, their local mean on top.

Colours and font are the page's, by class, so a curve follows a light or dark theme. A value that is not finite has no
height, so it is marked at the top edge.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

Array = NDArray[np.float64]

SMOOTHING = 0.03  # standard deviation of the local mean, as a share of the steps shown
POINTS = 1000  # most points drawn; beyond, the lowest and highest of each group of neighbours
WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, BOTTOM = 46, 352, 12, 176  # the frame of the plot


class Scale(NamedTuple):
    """An axis: from values to places on the page.

    Attributes:
        place: The map.
        ticks: Values that are labelled.
    """

    place: Callable[[Array], Array]
    ticks: list[float]


def smooth(x: Array, y: Array, share: float = SMOOTHING) -> Array:
    """Return the local mean of y with Gaussian weights, exp(-(x - x')^2 / 2 w^2), w = share (x_max - x_min).

    It is centred, so it does not lag as a running mean does; a share of 0 leaves y as it is.
    """
    if len(x) < 3 or share == 0:
        return y
    width = share * (x[-1] - x[0])
    mean = np.empty_like(y)
    for i, centre in enumerate(x):
        near = slice(*np.searchsorted(x, (centre - 4 * width, centre + 4 * width), "right"))
        weight = np.exp(-(((x[near] - centre) / width) ** 2) / 2)
        mean[i] = weight @ y[near] / weight.sum()
    return mean


def thin(x: Array, y: Array, points: int = POINTS) -> tuple[Array, Array]:
    """Return at most `points` points: the lowest and the highest of each group of neighbours, so no spike is lost."""
    if len(x) <= points:
        return x, y
    groups = np.array_split(np.arange(len(x)), points // 2)
    kept = np.unique([group[pick(y[group])] for group in groups for pick in (np.argmin, np.argmax)])
    return x[kept], y[kept]


def spans_decades(y: Array) -> bool:
    """Return whether a logarithmic axis shows y better: all positive, and over more than a factor of 5."""
    return bool(y.min() > 0 and y.max() > 5 * y.min())


def linear_ticks(low: float, high: float, n: int = 5) -> list[float]:
    """Return about n round values from low to high."""
    rough = (high - low) / n
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * (1 - 1e-9))
    return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten from low to high, with 2 and 5 times them over few decades and every k-th over many."""
    decades = range(math.ceil(math.log10(low)) - 1, math.floor(math.log10(high)) + 1)
    factors = (1, 2, 5) if high < 300 * low else (1,)
    every = 1 + len(decades) // 8
    ticks = [m * 10.0**k for k in decades if k % every == 0 for m in factors]
    return [tick for tick in ticks if low <= tick <= high]


def linear(low: float, high: float, start: float, stop: float) -> Scale:
    """Return the linear axis that takes low .. high to start .. stop."""
    if low == high:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    return Scale(lambda v: start + (v - low) / (high - low) * (stop - start), linear_ticks(low, high))


def logarithmic(low: float, high: float, start: float, stop: float) -> Scale:
    """Return the logarithmic axis that takes low .. high to start .. stop."""
    inner = linear(math.log(low), math.log(high), start, stop)
    return Scale(lambda v: inner.place(np.log(v)), log_ticks(low, high))


def vertical(y: Array, *, noisy: bool) -> Scale:
    """Return the axis for values y: logarithmic where noisy ones show better so, else linear and from 0 if near."""
    low, high = float(y.min()), float(y.max())
    if noisy and spans_decades(y):
        margin = (high / low) ** 0.04
        return logarithmic(low / margin, high * margin, BOTTOM, TOP)
    if 0 <= low < high / 2:
        low = 0.0
    return linear(low, high + 0.04 * (high - low), BOTTOM, TOP)


def curve(steps: Array, values: Array, name: str, *, noisy: bool = True) -> Markup:
    """Return one curve as an SVG element.

    Arguments:
        steps: (n,) ascending.
        values: (n,) at least one of them finite.
        name: What it is, for those who cannot see it.
        noisy: Whether the line is the local mean, rather than through the values.
    """
    finite = np.isfinite(values)
    x, y = steps[finite], values[finite]
    across = linear(min(0.0, steps[0]), steps[-1], LEFT, RIGHT)
    up = vertical(y, noisy=noisy)
    dots = points(across.place, up.place, *thin(x, y))
    mean = points(across.place, up.place, *thin(x, smooth(x, y, SMOOTHING * noisy)))
    parts = [
        *(grid_line(tick, up.place(np.array([tick]))[0]) for tick in up.ticks),
        *(step_label(tick, across.place(np.array([tick]))[0]) for tick in across.ticks),
        f'<path class="raw" d="{"".join(f"M{p}h0" for p in dots)}"/>',
        f'<path class="mean" d="M{"L".join(mean)}"/>',
        *(alarm(place) for place in across.place(thin(steps[~finite], steps[~finite])[0])),
    ]
    head = Markup('<svg class="curve" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(WIDTH, HEIGHT, name)
    return head + Markup("".join(parts) + "</svg>")  # noqa: S704 - numbers only


def points(across: Callable[[Array], Array], up: Callable[[Array], Array], x: Array, y: Array) -> list[str]:
    """Return places as "x y"."""
    return [f"{a:.1f} {b:.1f}" for a, b in zip(across(x), up(y), strict=True)]


def grid_line(value: float, y: float) -> str:
    """Return a horizontal line with its value."""
    label = f'<text x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{value:.4g}</text>'
    return f'<path class="grid" d="M{LEFT} {y:.1f}H{RIGHT}"/>{label}'


def step_label(value: float, x: float) -> str:
    """Return a label below the plot."""
    return f'<text x="{x:.1f}" y="{BOTTOM + 17}" text-anchor="middle">{value:,.0f}</text>'


def alarm(x: float) -> str:
    """Return the mark of a value that is not finite."""
    return f'<path class="alarm" d="M{x - 4:.1f} {TOP - 8}h8l-4 7z"/>'
