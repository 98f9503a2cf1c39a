"""Measured numbers as pictures: histograms of samples and data, and measured against requested values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from polydiff.report.axes import BOTTOM, LEFT, RIGHT, TOP, Array, Scale, linear, plot


def histogram(found: Mapping[str, Any], name: str) -> Markup | None:
    """Return an SVG of the shares by bin of samples (line) and of data (area); None if there are no counts.

    Arguments:
        found: Result of `polydiff.metrics.histogram.summary`.
        name: Name of the measure, for screen readers.
    """
    edges = np.asarray(found["edges"], np.float64)
    value, data = (np.asarray(found[row], np.float64) for row in ("value", "data"))
    if not len(edges) or not (value.sum() or data.sum()):
        return None
    shares = [x / max(x.sum(), 1) for x in (value, data)]
    across = linear(float(edges[0]), float(edges[-1]), LEFT, RIGHT)
    up = linear(0.0, 1.04 * float(max(x.max() for x in shares)), BOTTOM, TOP)
    of_value, of_data = (outline(across, up, edges, x) for x in shares)
    drawn = [f'<path class="real" d="{of_data}"/>', f'<path class="mean" d="{of_value}"/>']
    requested = {pair[0] for pair in found["pairs"]}
    if len(requested) == 1:
        drawn.append(f'<path class="requested" d="M{across.at(requested.pop()):.1f} {TOP}V{BOTTOM}"/>')
    return plot(f"{name}: samples and data", across, up, drawn)


def outline(across: Scale, up: Scale, edges: Array, shares: Array) -> str:
    """Return the path of a histogram's steps.

    Arguments:
        across: Horizontal axis.
        up: Vertical axis.
        edges: Edges of the bins, (n + 1,).
        shares: Share of each bin, (n,).
    """
    x, y = across.place(edges), up.place(shares)
    steps = "".join(f"V{h:.1f}H{end:.1f}" for h, end in zip(y, x[1:], strict=True))
    return f"M{x[0]:.1f} {BOTTOM}{steps}V{BOTTOM}"


def scatter(found: Mapping[str, Any], name: str) -> Markup | None:
    """Return an SVG of measured (vertical) against requested values; None if fewer than two requested values differ.

    On the diagonal both are equal. A sample without a measured value is a stroke at the lower edge. The axes cover the
    bins of `summary` and the requested values; measured values beyond them are drawn at the edge.
    """
    pairs = [(a, math.nan if b is None else b) for a, b in found["pairs"]]
    if len({a for a, _ in pairs}) < 2 or not found["edges"]:
        return None
    requested, measured = np.array(pairs, np.float64).T
    low, high = min(found["edges"][0], requested.min()), max(found["edges"][-1], requested.max())
    across, up = linear(low, high, LEFT, RIGHT), linear(low, high, BOTTOM, TOP)
    known = np.isfinite(measured)
    x, y = across.place(requested[known]), up.place(np.clip(measured[known], low, high))
    dots = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(x, y, strict=True))
    lost = "".join(f"M{a:.1f} {BOTTOM}v-8" for a in across.place(requested[~known]))
    drawn = [
        f'<path class="requested" d="M{LEFT} {BOTTOM}L{RIGHT} {TOP}"/>',
        f'<path class="dots" d="{dots}"/>',
        f'<path class="lost" d="{lost}"/>',
    ]
    return plot(f"{name}: measured against requested", across, up, drawn)
