"""Axes, ticks and frames of plots as SVG.

Colours and font come from the page's CSS classes, so a plot follows a light or dark theme. Positions are in units of
the picture, with the origin at the upper left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

Array = NDArray[np.float64]
Label = Callable[[float], str]

WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, BOTTOM = 46, 352, 12, 176  # the frame of the plot
CHARACTER = 7
"""Width of a character of a label, with some room."""


class Scale(NamedTuple):
    """An axis: a map from values to positions.

    Attributes:
        place: The map, elementwise.
        ticks: Values with a label.
    """

    place: Callable[[Array], Array]
    ticks: list[float]

    def at(self, value: float) -> float:
        """Return the position of one value."""
        return float(self.place(np.array([value]))[0])


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
    """Return the linear axis that maps low .. high to start .. stop.

    Arguments:
        low: Value at one end; if it equals `high`, the axis is widened around it.
        high: Value at the other end.
        start: Position of `low`.
        stop: Position of `high`.
    """
    if low == high:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    return Scale(lambda v: start + (v - low) / (high - low) * (stop - start), linear_ticks(low, high))


def logarithmic(low: float, high: float, start: float, stop: float) -> Scale:
    """Return the logarithmic axis that maps low .. high to start .. stop.

    Arguments:
        low: Value at one end, above 0.
        high: Value at the other end, above 0.
        start: Position of `low`.
        stop: Position of `high`.
    """
    inner = linear(math.log(low), math.log(high), start, stop)
    return Scale(lambda v: inner.place(np.log(v)), log_ticks(low, high))


def plot(name: str, across: Scale, up: Scale, drawn: Sequence[str], label: Label | None = None) -> Markup:
    """Return an SVG element with axes and drawn elements.

    Arguments:
        name: Label for screen readers.
        across: Horizontal axis.
        up: Vertical axis.
        drawn: SVG elements inside the axes.
        label: Format of the values on the horizontal axis; None: `short`.
    """
    parts = [
        *(grid_line(tick, up.at(tick)) for tick in up.ticks),
        *(tick_label((label or short)(tick), across.at(tick)) for tick in across.ticks),
        *drawn,
    ]
    head = Markup('<svg class="curve" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(WIDTH, HEIGHT, name)
    return head + Markup("".join(parts) + "</svg>")  # noqa: S704 - numbers only


def points(across: Scale, up: Scale, x: Array, y: Array) -> list[str]:
    """Return the positions of points as text "x y", to a tenth.

    Arguments:
        across: Horizontal axis.
        up: Vertical axis.
        x: Values on the horizontal axis, (n,).
        y: Values on the vertical axis, (n,).
    """
    return [f"{a:.1f} {b:.1f}" for a, b in zip(across.place(x), up.place(y), strict=True)]


def grid_line(value: float, y: float) -> str:
    """Return a horizontal line with its value."""
    label = f'<text x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{short(value)}</text>'
    return f'<path class="grid" d="M{LEFT} {y:.1f}H{RIGHT}"/>{label}'


def tick_label(text: str, x: float) -> str:
    """Return a label below the plot, centred, or ending at x if it would otherwise reach over the right edge."""
    anchor = "end" if x + CHARACTER * len(text) / 2 > WIDTH else "middle"
    return f'<text x="{x:.1f}" y="{BOTTOM + 17}" text-anchor="{anchor}">{text}</text>'


def thousands(value: float) -> str:
    """Return a whole number with separators of thousands: 20,000."""
    return f"{value:,.0f}"


def short(value: float) -> str:
    """Return a number in few characters: 0.05, 2500, 2.5e-4."""
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        mantissa, _, power = f"{value:.2e}".partition("e")
        return f"{float(mantissa):g}e{int(power)}"
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
