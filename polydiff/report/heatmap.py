"""A confusion matrix as a picture: requested class by row, class predicted by the judge by column."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

SIDE, MARGIN, GAP = 300, 44, 9
"""Side of the matrix, width of the margin for names, and least distance between names, in SVG units."""
DIGIT = 5.5
"""Width of a digit in SVG units; a count that does not fit its cell is not written."""
DARK = 0.5
"""Opacity of a cell from which on its count has the colour of the page."""
PICTURE = Markup(
    '<svg class="heat" viewBox="-1 -1 {0} {0}" role="img" aria-label="requested class by row, predicted by column">'
    '<rect class="frame" x="{1}" y="0" width="{2}" height="{2}"/>{3}</svg>'
)
CELL = Markup(
    '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill-opacity="{:.2f}"><title>{}</title></rect>'
)
COUNT = Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>')
ROW = Markup('<text x="{}" y="{:.1f}" text-anchor="end">{}</text>')
COLUMN = Markup('<text transform="translate({:.1f} {}) rotate(-90)" text-anchor="end">{}</text>')


def heatmap(requested: Sequence[str], seen: Sequence[str], counts: Sequence[Sequence[int]]) -> Markup:
    """Return an SVG in which the opacity of a cell grows with its share of its row, with counts where there is room.

    Arguments:
        requested: Names of the rows.
        seen: Names of the columns.
        counts: Count per row and column.
    """
    wide, high = SIDE / max(len(seen), 1), SIDE / max(len(requested), 1)
    cells, written = list[Markup](), list[Markup]()
    for y, row in enumerate(counts):
        for x, n in enumerate(row):
            if not n:
                continue
            left, opacity = MARGIN + x * wide, 0.06 + 0.94 * n / sum(row)
            cells.append(CELL.format(left, y * high, wide, high, opacity, title(requested[y], seen[x], n, row)))
            if high >= GAP and wide >= DIGIT * (len(str(n)) + 1):
                kind = "on" if opacity >= DARK else "off"
                written.append(COUNT.format(kind, left + wide / 2, (y + 0.5) * high + 3.5, n))
    rows = [ROW.format(MARGIN - 5, (y + 0.5) * high + 3.5, short(name)) for y, name in thinned(requested, high)]
    columns = [COLUMN.format(MARGIN + (x + 0.5) * wide + 3.5, SIDE + 5, short(name)) for x, name in thinned(seen, wide)]
    return PICTURE.format(SIDE + MARGIN + 2, MARGIN, SIDE, Markup("").join([*cells, *written, *rows, *columns]))


def title(requested: str, seen: str, count: int, row: Sequence[int]) -> str:
    """Return the tooltip of a cell.

    Arguments:
        requested: Name of the requested class.
        seen: Name of the predicted class.
        count: Count of the cell.
        row: Counts of all cells of its row.
    """
    return f"requested {requested}, predicted {seen}: {count} of {sum(row)}"


def short(name: str) -> str:
    """Return a name cut to the width of the margin."""
    return name if len(name) <= 7 else f"{name[:6]}…"


def thinned(names: Sequence[str], room: float) -> list[tuple[int, str]]:
    """Return (index, name) of the first and every k-th name after it, so that labels do not overlap."""
    every = max(1, -int(-GAP // room))
    return list(enumerate(names))[::every]
