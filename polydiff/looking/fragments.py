"""Pieces of HTML that views are made of: a domain's pictures in rows, in frames of a film, and plots beside them."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from markupsafe import Markup
from numpy.typing import NDArray
from torch import Tensor

from polydiff.contract.domain import Domain, Samples
from polydiff.report.axes import BOTTOM, LEFT, RIGHT, TOP, linear, logarithmic, plot, points

GRID = "display:grid;gap:14px 18px;align-items:start;grid-template-columns:"
NUMBER = "font:600 12px/1.4 sans-serif;color:#444;font-variant-numeric:tabular-nums"
FILM = Markup(
    '<div class="steps" style="margin-top:18px"><div class="control" hidden><label>{}</label>'
    '<input type="range" min="0" value="0" step="1" aria-label="{}"><output></output></div>{}</div>'
)
FRAME = Markup('<figure class="set" data-step="{}"><figcaption>{}</figcaption>{}</figure>')


def to_one(weights: Tensor, together: bool = False) -> Tensor:
    """Return maps (B, *sizes) of numbers of at least 0, divided by the greatest of each, or of all together."""
    greatest = weights.max() if together else weights.flatten(1).amax(1).reshape(-1, *(1 for _ in weights.shape[1:]))
    return weights / greatest.clamp(min=1e-12)


def above_even(weights: Tensor) -> Tensor:
    """Return what maps (B, *sizes) have above their mean, in [0, 1]: 1 is the greatest of a map, or twice the mean."""
    mean = weights.flatten(1).mean(1).reshape(-1, *(1 for _ in weights.shape[1:]))
    excess = (weights - mean).clamp(min=0)
    greatest = excess.flatten(1).amax(1).reshape_as(mean)
    return excess / torch.maximum(greatest, mean).clamp(min=1e-12)


def peak(weights: Tensor) -> float:
    """Return the greatest weight of a map as a multiple of its mean."""
    return float(weights.max() / weights.mean().clamp(min=1e-12))


def layer_name(name: str) -> str:
    """Return the name of a layer without what all layers share."""
    return name.removeprefix("backbone.").replace(".stages", "").replace(".attention", "").replace(".reading", "")


def show(domain: Domain, samples: Samples) -> str:
    """Return a domain's picture of samples in a box that may be narrower than it."""
    return f'<div style="min-width:0;overflow-x:auto">{domain.show(samples)}</div>'


def table(heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Return rows of a label and fragments, under the heads of the columns, as HTML.

    Arguments:
        heads: Heads of the columns after that of labels; "" for none.
        rows: A label, and a fragment for each column.
    """
    head = "".join(f'<div style="{NUMBER}">{html.escape(text)}</div>' for text in ("", *heads)) if any(heads) else ""
    body = "".join(
        f'<div style="{NUMBER};white-space:pre-line">{html.escape(label)}</div>'
        + "".join(f"<div>{cell}</div>" for cell in cells)
        for label, cells in rows
    )
    return f'<div style="{GRID}minmax(4rem,max-content) repeat({len(heads)},minmax(0,1fr))">{head}{body}</div>'


def fitting(draw: Callable[[int], str], n: int, room: int) -> str:
    """Return the HTML of n examples, or of half as many, and so on down to one, until it fits.

    Arguments:
        draw: Returns the HTML of so many examples.
        n: Largest number of examples.
        room: Largest number of bytes, unless one example has more.
    """
    drawn = draw(n)
    while n > 1 and len(drawn.encode()) > room:
        n //= 2
        drawn = draw(n)
    return drawn


def film(name: str, frames: Sequence[tuple[str, str]]) -> str:
    """Return frames of which a slider shows one at a time; without scripts, all of them below each other.

    Arguments:
        name: Label of the slider.
        frames: A label and a fragment of each frame.
    """
    drawn = (FRAME.format(label, label, Markup(fragment)) for label, fragment in frames)  # noqa: S704 - our own HTML
    return str(FILM.format(name, name, Markup("").join(drawn)))


def curve(name: str, levels: NDArray[np.float64], values: NDArray[np.float64]) -> str:
    """Return a plot of numbers between 0 and 1, or somewhat above, against noise levels (n,), as SVG.

    Arguments:
        name: Label for screen readers.
        levels: Noise levels.
        values: The numbers.
    """
    across = logarithmic(float(levels.min()), float(levels.max()), LEFT, RIGHT)
    up = linear(0.0, max(1.0, float(values.max())), BOTTOM, TOP)
    line = "M" + "L".join(points(across, up, levels, values))
    return str(plot(name, across, up, [f'<path class="mean" d="{line}"/>']))


def heat_table(heads: Sequence[str], rows: Sequence[tuple[str, Sequence[float]]]) -> str:
    """Return a table of numbers of at least 0 as HTML, the greater the darker.

    Arguments:
        heads: Heads of the columns of numbers.
        rows: A label, and a number for each column; NaN: none.
    """
    most = max((value for _, values in rows for value in values if not math.isnan(value)), default=1.0) or 1.0
    head = "".join(
        f'<th style="{NUMBER};text-align:right;padding:2px 8px">{html.escape(text)}</th>' for text in ("", *heads)
    )
    body = "".join(
        f'<tr><th style="{NUMBER};text-align:right;padding:2px 8px">{html.escape(label)}</th>'
        + "".join(heat_cell(value, most) for value in values)
        + "</tr>"
        for label, values in rows
    )
    return f'<table style="border-collapse:collapse"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def heat_cell(value: float, most: float) -> str:
    """Return a cell of a table with its number, coloured by its share of the greatest number."""
    if math.isnan(value):
        return "<td></td>"
    share = max(0.0, value / most)
    return (
        f'<td style="padding:2px 8px;text-align:right;font:12px/1.6 sans-serif;font-variant-numeric:tabular-nums;'
        f'background:rgba(31,95,168,{0.75 * share:.2f});color:{"#fff" if share > 0.6 else "#22262b"}">{value:.2f}</td>'
    )
