"""A confusion matrix as a picture: requested class by row, class predicted by the judge by column."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

SIDE, MARGIN, GAP = 300, 44, 9
"""Side of the matrix, width of the margin for names, and least distance between names, in SVG units."""
PICTURE = Markup(
    '<svg class="heat" viewBox="-1 -1 {0} {0}" role="img" aria-label="requested class by row, predicted by column">'
    '<rect class="frame" x="{1}" y="0" width="{2}" height="{2}"/>{3}</svg>'
)
CELL = Markup(
    '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill-opacity="{:.2f}"><title>{}</title></rect>'
)
ROW = Markup('<text x="{}" y="{:.1f}" text-anchor="end">{}</text>')
COLUMN = Markup('<text transform="translate({:.1f} {}) rotate(-90)" text-anchor="end">{}</text>')


def heatmap(requested: Sequence[str], seen: Sequence[str], counts: Sequence[Sequence[int]]) -> Markup:
    """Return an SVG in which the opacity of a cell grows with its share of its row.

    Arguments:
        requested: Names of the rows.
        seen: Names of the columns.
        counts: Count per row and column.
    """
    wide, high = SIDE / max(len(seen), 1), SIDE / max(len(requested), 1)
    cells = [
        CELL.format(
            MARGIN + x * wide, y * high, wide, high, 0.06 + 0.94 * n / sum(row), title(requested[y], seen[x], n, row)
        )
        for y, row in enumerate(counts)
        for x, n in enumerate(row)
        if n
    ]
    rows = [ROW.format(MARGIN - 5, (y + 0.5) * high + 3.5, short(name)) for y, name in thinned(requested, high)]
    columns = [COLUMN.format(MARGIN + (x + 0.5) * wide + 3.5, SIDE + 5, short(name)) for x, name in thinned(seen, wide)]
    return PICTURE.format(SIDE + MARGIN + 2, MARGIN, SIDE, Markup("").join([*cells, *rows, *columns]))


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
