"""A picture of the order in which letters appeared: one square a site, the darker the later."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from markupsafe import Markup
from torch import Tensor

from polydiff.model.parts.appearance import NOWHERE, Appearance

SIDE = 9
"""Side of a square in SVG units."""
MOST = 64 * 64
"""Largest number of squares of a picture."""
PICTURE = Markup(
    '<svg role="img" aria-label="step at which each letter appeared" viewBox="0 0 {0} {1}" width="{0}" '
    'style="max-width:100%;color:#246">{2}</svg>'
)
SQUARE = Markup(
    '<rect x="{}" y="{}" width="{}" height="{}" fill="currentColor" fill-opacity="{:.2f}"><title>{}</title></rect>'
)


def pictures(found: Appearance) -> list[tuple[str, Markup]]:
    """Return the picture of each part with what its rows are.

    Texts and other lists of letters have a row a sample; of arrays, such as images and matrices of bonds, it is the
    mean over the samples.
    """
    made = []
    for name, steps in found.parts.items():
        if steps.ndim == 2:
            made.append((f"{name}: a row a sample", picture(cells(steps), found.steps)))
        else:
            made.append((f"{name}: mean over {len(steps)} samples", picture(cells(mean(steps)), found.steps)))
    return made


def mean(steps: Tensor) -> Tensor:
    """Return the mean step of each place of the last two axes, NaN where no sample has a site."""
    flat = steps.reshape(-1, *steps.shape[-2:]).double()
    return torch.where(flat == NOWHERE, torch.nan, flat).nanmean(0)


def cells(steps: Tensor) -> list[list[float | None]]:
    """Return rows of steps, None where there is no site."""
    rows = steps.double().tolist()
    return [[None if step == NOWHERE or step != step else step for step in row] for row in rows]


def picture(rows: Sequence[Sequence[float | None]], steps: int) -> Markup:
    """Return an SVG of steps in rows and columns; as many of the first rows as there is room for.

    Arguments:
        rows: Step of each square; None: there is none.
        steps: Number of all steps.
    """
    width = max((len(row) for row in rows), default=0)
    shown = rows[: max(1, MOST // max(width, 1))]
    squares = [
        SQUARE.format(
            x * SIDE, y * SIDE, SIDE - 1, SIDE - 1, 0.06 + 0.94 * step / max(steps, 1), f"step {step:.3g} of {steps}"
        )
        for y, row in enumerate(shown)
        for x, step in enumerate(row)
        if step is not None
    ]
    return PICTURE.format(width * SIDE, len(shown) * SIDE, Markup("").join(squares))
