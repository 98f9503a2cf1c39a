"""A table as an HTML fragment that needs no style sheet and no script."""

from __future__ import annotations

import html
from collections.abc import Sequence

CELL = "padding:2px 10px 2px 0;text-align:left;vertical-align:top"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of texts, which are escaped."""

    def line(tag: str, cells: Sequence[str]) -> str:
        return "<tr>" + "".join(f'<{tag} style="{CELL}">{html.escape(cell)}</{tag}>' for cell in cells) + "</tr>"

    body = "\n".join(line("td", row) for row in rows)
    return f'<table style="border-collapse:collapse;font-size:13px">\n{line("th", head)}\n{body}\n</table>'
