"""Real numbers as pictures: samples beside data as histograms, and what was asked for against what was measured.

Colours and font are the page's, by class, as in `polydiff.curves`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from polydiff.abilities import Measured
from polydiff.curves import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Array, Scale, grid_line, linear, short

BINS = 20
TAILS = 0.005
"""Share of the numbers at each end that fall into the outermost bins, however far out they are."""
WHOLE = 40
"""Most bins of whole numbers, one each."""
PAIRS = 500
"""Most pairs that are kept and drawn."""


def summary(value: Measured, data: Measured) -> dict[str, Any]:
    """Return samples' numbers beside real ones' as JSON: counts of common bins, and pairs of asked and measured.

    A number that a sample does not have is in no bin, and None in its pair.
    """
    of_value, of_data = (finite(found.values) for found in (value, data))
    edges = common_edges(of_value, of_data)
    pairs = [
        [rounded(asked), rounded(measured) if math.isfinite(measured) else None]
        for asked, measured in zip(value.asked, value.values, strict=False)
        if math.isfinite(asked)
    ]
    return {
        "unit": value.unit,
        "meaning": value.meaning,
        "edges": [rounded(edge) for edge in edges],
        "value": counts(of_value, edges),
        "data": counts(of_data, edges),
        "pairs": pairs[:PAIRS],
    }


def finite(values: Sequence[float]) -> Array:
    """Return the finite ones of numbers."""
    x = np.asarray(values, np.float64)
    return x[np.isfinite(x)]


def rounded(value: float) -> float:
    """Return a number to five digits."""
    return float(f"{value:.5g}")


def common_edges(a: Array, b: Array) -> Array:
    """Return edges of bins for two sets of numbers: one a whole number where all are such and few; none of nothing."""
    both = np.concatenate([a, b])
    if not len(both):
        return both
    low, high = both.min(), both.max()
    if (both == both.round()).all() and high - low < WHOLE:
        return np.arange(low, high + 2) - 0.5
    low, high = np.quantile(both, [TAILS, 1 - TAILS])
    if low == high:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    return np.linspace(low, high, BINS + 1)


def counts(x: Array, edges: Array) -> list[int]:
    """Return how many numbers are in each bin, the outermost open to the outside."""
    if not len(edges):
        return []
    return [int(n) for n in np.histogram(np.clip(x, edges[0], edges[-1]), edges)[0]]


def histogram(found: Mapping[str, Any], name: str) -> Markup | None:
    """Return an SVG of samples' shares by bin (line) over the data's (area); None where there is nothing to draw.

    Arguments:
        found: What `summary` returns.
        name: What is measured, for those who cannot see it.
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
    asked = {pair[0] for pair in found["pairs"]}
    if len(asked) == 1:
        drawn.append(f'<path class="asked" d="M{place(across, asked.pop()):.1f} {TOP}V{BOTTOM}"/>')
    return picture(f"{name}: samples beside data", across, up, drawn)


def outline(across: Scale, up: Scale, edges: Array, shares: Array) -> str:
    """Return the path of a histogram's steps."""
    x, y = across.place(edges), up.place(shares)
    steps = "".join(f"V{h:.1f}H{end:.1f}" for h, end in zip(y, x[1:], strict=True))
    return f"M{x[0]:.1f} {BOTTOM}{steps}V{BOTTOM}"


def scatter(found: Mapping[str, Any], name: str) -> Markup | None:
    """Return an SVG of what was measured, up, against what was asked, across; None where fewer than two differ.

    On the diagonal both are alike. Samples without a number are strokes at the lower edge; the axes reach as far as
    the bins of `summary`, and what lies outside is at the edge.
    """
    pairs = [(a, math.nan if b is None else b) for a, b in found["pairs"]]
    if len({a for a, _ in pairs}) < 2 or not found["edges"]:
        return None
    asked, measured = np.array(pairs, np.float64).T
    low, high = min(found["edges"][0], asked.min()), max(found["edges"][-1], asked.max())
    across, up = linear(low, high, LEFT, RIGHT), linear(low, high, BOTTOM, TOP)
    known = np.isfinite(measured)
    x, y = across.place(asked[known]), up.place(np.clip(measured[known], low, high))
    dots = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(x, y, strict=True))
    lost = "".join(f"M{a:.1f} {BOTTOM}v-8" for a in across.place(asked[~known]))
    drawn = [
        f'<path class="asked" d="M{LEFT} {BOTTOM}L{RIGHT} {TOP}"/>',
        f'<path class="dots" d="{dots}"/>',
        f'<path class="lost" d="{lost}"/>',
    ]
    return picture(f"{name}: measured against asked", across, up, drawn)


def place(scale: Scale, value: float) -> float:
    """Return where a value is."""
    return float(scale.place(np.array([value]))[0])


def picture(name: str, across: Scale, up: Scale, drawn: Sequence[str]) -> Markup:
    """Return an SVG element with axes and what is drawn on them."""
    lines = [grid_line(tick, place(up, tick)) for tick in up.ticks]
    labels = [
        f'<text x="{place(across, tick):.1f}" y="{BOTTOM + 17}" text-anchor="middle">{short(tick)}</text>'
        for tick in across.ticks
    ]
    head = Markup('<svg class="curve" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(WIDTH, HEIGHT, name)
    return head + Markup("".join([*lines, *labels, *drawn]) + "</svg>")  # noqa: S704 - numbers only
