"""Curves of training as SVG: every value faintly, their local mean on top.

Colours and font are the page's, by class, so a curve follows a light or dark theme. A value that is not finite has no
height, so it is marked at the top edge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from polydiff.levels import of_record, together

Array = NDArray[np.float64]
Records = Sequence[Mapping[str, Any]]

SMOOTHING = 0.03  # standard deviation of the local mean, as a share of the steps shown
POINTS = 1000  # most points drawn; beyond, the lowest and highest of each group of neighbours
WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, BOTTOM = 46, 352, 12, 176  # the frame of the plot

CURVES = {
    "loss": ("Loss", "mean of a batch", True),
    "grad_norm": ("Gradient norm", "before clipping", True),
    "lr": ("Learning rate", "", False),
}
"""Key in metrics.jsonl -> title, note, and whether it is noisy."""
DASH = "\N{EN DASH}"
QUARTERS = ("first quarter", "second", "third", "last")
"""Parts of a run whose losses by noise level are compared."""


class Scale(NamedTuple):
    """An axis: from values to places on the page.

    Attributes:
        place: The map.
        ticks: Values that are labelled.
    """

    place: Callable[[Array], Array]
    ticks: list[float]


class Curve(NamedTuple):
    """One curve of the page; `svg` is None where no value can be drawn."""

    title: str
    note: str
    last: str
    svg: Markup | None
    warning: str


def training_curves(records: Records) -> list[Curve]:
    """Return the curves of what the lines of metrics.jsonl hold."""
    made = [make_curve(records, name, *about) for name, about in CURVES.items() if any(name in r for r in records)]
    by_level = level_curve(records)
    return [*made, by_level] if by_level else made


def make_curve(records: Records, name: str, title: str, note: str, noisy: bool) -> Curve:
    """Return the curve of one logged quantity."""
    logged = [(r["step"], number(r[name])) for r in records if name in r]
    steps, values = np.array(logged, dtype=np.float64).T
    finite = np.isfinite(values)
    svg = curve(steps, values, f"{title} against training step", noisy=noisy) if finite.any() else None
    last = f"{line(steps[finite], values[finite], noisy=noisy)[1][-1]:.3g}" if finite.any() else DASH
    return Curve(title, note, last, svg, warning(steps[~finite]))


def level_curve(records: Records) -> Curve | None:
    """Return the loss by log-SNR in each quarter of a run; None where the lines of metrics.jsonl do not tell it."""
    told = [record for record in records if record.get("bins")]
    if len(told) < len(QUARTERS):
        return None
    parts = [together(map(of_record, part)) for part in np.array_split(np.array(told, dtype=object), len(QUARTERS))]
    lines = [np.array([(at, mean) for at, (mean, _) in part.items()]).T for part in parts if part]
    if not lines:
        return None
    every = np.concatenate(lines, 1)
    across = linear(every[0].min(), every[0].max(), LEFT, RIGHT)
    up = vertical(every[1], noisy=True)
    drawn = [
        f'<path class="mean" opacity="{0.25 + 0.75 * i / max(len(lines) - 1, 1):.2f}" '
        f'd="M{"L".join(points(across.place, up.place, *line))}"/>'
        for i, line in enumerate(lines)
    ]
    svg = plot("Loss against log-SNR in each quarter of the run", across, up, drawn)
    note = "from noise, left, to data; each quarter of the run, the last the darkest"
    return Curve("Loss by log-SNR", note, "", svg, "")


def warning(steps: Array) -> str:
    """Return a sentence on the steps whose value is not finite, "" where there is none."""
    if not len(steps):
        return ""
    listed = ", ".join(f"{step:,.0f}" for step in steps[:5]) + (", …" if len(steps) > 5 else "")
    return f"{len(steps)} not finite (▼), at step {listed}"


def number(value: Any) -> float:
    """Return a JSON value as a float, NaN if it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def line(x: Array, y: Array, *, noisy: bool) -> tuple[Array, Array]:
    """Return the points of a curve's line: the local mean of noisy values, others as they are."""
    if not noisy:
        return thin(x, y)
    at = x[np.unique(np.linspace(0, len(x) - 1, POINTS // 2).round().astype(int))]
    return at, smooth(x, y, at)


def smooth(x: Array, y: Array, at: Array, share: float = SMOOTHING) -> Array:
    """Return the mean of y around `at` with Gaussian weights, exp(-(x - at)^2 / 2 w^2), w = share (x_max - x_min).

    It is centred, so it does not lag as a running mean does. `at` holds some of x.
    """
    width = max(share * (x[-1] - x[0]), 1e-9)
    mean = np.empty_like(at)
    for i, centre in enumerate(at):
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
    mean = points(across.place, up.place, *line(x, y, noisy=noisy))
    drawn = [
        f'<path class="raw" d="{"".join(f"M{p}h0" for p in dots)}"/>',
        f'<path class="mean" d="M{"L".join(mean)}"/>',
        *(alarm(place) for place in across.place(thin(steps[~finite], steps[~finite])[0])),
    ]
    return plot(name, across, up, drawn)


def plot(name: str, across: Scale, up: Scale, drawn: Sequence[str]) -> Markup:
    """Return an SVG element with axes and what is drawn on them."""
    parts = [
        *(grid_line(tick, up.place(np.array([tick]))[0]) for tick in up.ticks),
        *(step_label(tick, across.place(np.array([tick]))[0]) for tick in across.ticks),
        *drawn,
    ]
    head = Markup('<svg class="curve" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(WIDTH, HEIGHT, name)
    return head + Markup("".join(parts) + "</svg>")  # noqa: S704 - numbers only


def points(across: Callable[[Array], Array], up: Callable[[Array], Array], x: Array, y: Array) -> list[str]:
    """Return places as "x y"."""
    return [f"{a:.1f} {b:.1f}" for a, b in zip(across(x), up(y), strict=True)]


def grid_line(value: float, y: float) -> str:
    """Return a horizontal line with its value."""
    label = f'<text x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{short(value)}</text>'
    return f'<path class="grid" d="M{LEFT} {y:.1f}H{RIGHT}"/>{label}'


def step_label(value: float, x: float) -> str:
    """Return a label below the plot."""
    anchor = "end" if x > RIGHT - 12 else "middle"
    return f'<text x="{x:.1f}" y="{BOTTOM + 17}" text-anchor="{anchor}">{value:,.0f}</text>'


def short(value: float) -> str:
    """Return a number in few characters: 0.05, 2500, 2.5e-4."""
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        mantissa, _, power = f"{value:.2e}".partition("e")
        return f"{float(mantissa):g}e{int(power)}"
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"


def alarm(x: float) -> str:
    """Return the mark of a value that is not finite."""
    return f'<path class="alarm" d="M{x - 4:.1f} {TOP - 8}h8l-4 7z"/>'
