"""Training curves as SVG: every value as a faint dot, their local mean as a line.

A value that is not finite is marked at the top edge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from polydiff.report.axes import BOTTOM, LEFT, RIGHT, TOP, Array, Scale, linear, logarithmic, plot, points, thousands
from polydiff.report.numbers import DASH, number
from polydiff.run.loss_by_level import of_record, together

Records = Sequence[Mapping[str, Any]]

SMOOTHING = 0.03  # standard deviation of the local mean, as a share of the steps shown
POINTS = 1000  # maximum number of points drawn; above, the lowest and highest of each group of neighbours

CURVES = {
    "loss": ("Loss", "mean of a batch", True),
    "grad_norm": ("Gradient norm", "before clipping", True),
    "lr": ("Learning rate", "", False),
}
"""Key in metrics.jsonl -> (title, note, whether the curve is noisy and needs a local mean)."""
QUARTERS = ("first quarter", "second", "third", "last")
"""Parts of a run whose losses by noise level are compared."""


class Curve(NamedTuple):
    """One curve of the page; `svg` is None if no value is finite."""

    title: str
    note: str
    last: str
    svg: Markup | None
    warning: str


def training_curves(records: Records) -> list[Curve]:
    """Return the curves of the records in metrics.jsonl."""
    made = [make_curve(records, name, *about) for name, about in CURVES.items() if any(name in r for r in records)]
    by_level = level_curve(records)
    return [*made, by_level] if by_level else made


def make_curve(records: Records, name: str, title: str, note: str, noisy: bool) -> Curve:
    """Return the curve of one logged quantity.

    Arguments:
        records: Records of metrics.jsonl.
        name: Key of the quantity in a record.
        title: Title of the curve.
        note: Note beside the title.
        noisy: Whether the line is the local mean of the values; otherwise it joins them.
    """
    logged = [(r["step"], number(r[name])) for r in records if name in r]
    steps, values = np.array(logged, dtype=np.float64).T
    finite = np.isfinite(values)
    svg = curve(steps, values, f"{title} against training step", noisy=noisy) if finite.any() else None
    last = f"{line(steps[finite], values[finite], noisy=noisy)[1][-1]:.3g}" if finite.any() else DASH
    return Curve(title, note, last, svg, warning(steps[~finite]))


def level_curve(records: Records) -> Curve | None:
    """Return the loss by log-SNR in each quarter of a run; None if fewer than four records hold it."""
    binned = [record for record in records if record.get("bins")]
    if len(binned) < len(QUARTERS):
        return None
    parts = [together(map(of_record, part)) for part in np.array_split(np.array(binned, dtype=object), len(QUARTERS))]
    lines = [np.array([(at, mean) for at, (mean, _) in part.items()]).T for part in parts if part]
    if not lines:
        return None
    every = np.concatenate(lines, 1)
    across = linear(every[0].min(), every[0].max(), LEFT, RIGHT)
    up = vertical(every[1], noisy=True)
    drawn = [
        f'<path class="mean" opacity="{0.25 + 0.75 * i / max(len(lines) - 1, 1):.2f}" '
        f'd="M{"L".join(points(across, up, *line))}"/>'
        for i, line in enumerate(lines)
    ]
    svg = plot("Loss against log-SNR in each quarter of the run", across, up, drawn, thousands)
    note = "left: noise, right: data; one line per quarter of the run, the last is the darkest"
    return Curve("Loss by log-SNR", note, "", svg, "")


def warning(steps: Array) -> str:
    """Return a note on the steps whose value is not finite; "" if all are finite."""
    if not len(steps):
        return ""
    listed = ", ".join(f"{step:,.0f}" for step in steps[:5]) + (", …" if len(steps) > 5 else "")
    return f"{len(steps)} not finite (▼), at step {listed}"


def line(x: Array, y: Array, *, noisy: bool) -> tuple[Array, Array]:
    """Return the points of a curve's line: the local mean of noisy values, otherwise the values, thinned."""
    if not noisy:
        return thin(x, y)
    at = x[np.unique(np.linspace(0, len(x) - 1, POINTS // 2).round().astype(int))]
    return at, smooth(x, y, at)


def smooth(x: Array, y: Array, at: Array, share: float = SMOOTHING) -> Array:
    """Return the mean of y around `at` with Gaussian weights, exp(-(x - at)^2 / 2 w^2), w = share (x_max - x_min).

    It is centred, so it does not lag as a running mean does.

    Arguments:
        x: Steps, ascending, (n,).
        y: Values, (n,).
        at: Those of the steps at which the mean is computed, (m,).
        share: Width w of the weights, as a share of the range of x.

    Returns:
        Means, (m,).
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
    """Return whether y suits a logarithmic axis: all positive, and spanning more than a factor of 5."""
    return bool(y.min() > 0 and y.max() > 5 * y.min())


def vertical(y: Array, *, noisy: bool) -> Scale:
    """Return the vertical axis of y: logarithmic for noisy y that spans decades, else linear."""
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
        name: Label for screen readers.
        noisy: Whether the line is the local mean; otherwise it joins the values.
    """
    finite = np.isfinite(values)
    x, y = steps[finite], values[finite]
    across = linear(min(0.0, steps[0]), steps[-1], LEFT, RIGHT)
    up = vertical(y, noisy=noisy)
    dots = points(across, up, *thin(x, y))
    mean = points(across, up, *line(x, y, noisy=noisy))
    drawn = [
        f'<path class="raw" d="{"".join(f"M{p}h0" for p in dots)}"/>',
        f'<path class="mean" d="M{"L".join(mean)}"/>',
        *(alarm(place) for place in across.place(thin(steps[~finite], steps[~finite])[0])),
    ]
    return plot(name, across, up, drawn, thousands)


def alarm(x: float) -> str:
    """Return the mark of a value that is not finite."""
    return f'<path class="alarm" d="M{x - 4:.1f} {TOP - 8}h8l-4 7z"/>'
