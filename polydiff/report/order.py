"""A picture of the order in which letters appeared: one square a site, the darker the later; texts with letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from markupsafe import Markup
from torch import Tensor

from polydiff.model.parts.appearance import NOWHERE, Appearance

SIDE, WIDE = 9, 14
"""Side of a square in SVG units, without a letter and with one."""
HALF = 0.5
"""Share of all steps from which letters are white, on dark squares."""
MOST = 64 * 64
"""Largest number of squares of a picture."""
PICTURE = Markup(
    '<svg role="img" aria-label="step at which each letter appeared" viewBox="0 0 {0} {1}" width="{0}" '
    'style="max-width:100%;color:#246">{2}</svg>'
)
SQUARE = Markup(
    '<rect x="{}" y="{}" width="{}" height="{}" fill="currentColor" fill-opacity="{:.2f}"><title>{}</title></rect>'
)
LETTER = Markup('<text x="{}" y="{}" font-size="11" text-anchor="middle" fill="{}">{}</text>')


def pictures(found: Appearance) -> list[tuple[str, Markup]]:
    """Return the picture of each part with what its rows are.

    Texts and other lists of letters have a row a sample, texts with their letters; of arrays, such as images and
    matrices of bonds, it is the mean over the samples.
    """
    made, texts = [], texts_of(found.examples)
    for name, steps in found.parts.items():
        if steps.ndim == 2:
            made.append((f"{name}: a row a sample", picture(cells(steps), found.steps, texts)))
        else:
            made.append((f"{name}: mean over {len(steps)} samples", picture(cells(mean(steps)), found.steps)))
    return made


def texts_of(examples: Sequence[Any]) -> Sequence[str]:
    """Return examples that are texts with a letter a site; () of others, as of bytes of a text that is not ASCII."""
    return examples if all(isinstance(one, str) and one.isascii() for one in examples) else ()


def mean(steps: Tensor) -> Tensor:
    """Return the mean step of each place of the last two axes, NaN where no sample has a site."""
    flat = steps.reshape(-1, *steps.shape[-2:]).double()
    return torch.where(flat == NOWHERE, torch.nan, flat).nanmean(0)


def cells(steps: Tensor) -> list[list[float | None]]:
    """Return rows of steps, None where there is no site."""
    rows = steps.double().tolist()
    return [[None if step == NOWHERE or step != step else step for step in row] for row in rows]


def picture(rows: Sequence[Sequence[float | None]], steps: int, texts: Sequence[str] = ()) -> Markup:
    """Return an SVG of steps in rows and columns; as many of the first rows as there is room for.

    Arguments:
        rows: Step of each square; None: there is none.
        steps: Number of all steps.
        texts: For each row the letters of its squares, which may be fewer than these; (): none are shown.
    """
    side = WIDE if texts else SIDE
    width = max((len(row) for row in rows), default=0)
    shown = rows[: max(1, MOST // max(width, 1))]
    drawn = []
    for y, row in enumerate(shown):
        for x, step in enumerate(row):
            if step is None:
                continue
            share = step / max(steps, 1)
            opacity, words = 0.06 + 0.94 * share, f"step {step:.3g} of {steps}"
            drawn.append(SQUARE.format(x * side, y * side, side - 1, side - 1, opacity, words))
            if texts and x < len(texts[y]):
                place = (x * side + (side - 1) / 2, y * side + side - 4)
                drawn.append(LETTER.format(*place, "#fff" if share > HALF else "#222", texts[y][x]))
    return PICTURE.format(width * side, len(shown) * side, Markup("").join(drawn))
