"""Text of a model card: tables and blocks of Markdown, in which no cell breaks its row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def table(head: Sequence[str], rows: Any) -> str:
    """Return a table."""
    lines = [head, ["-"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell(str(value)) for value in line)} |\n" for line in lines)


def cell(text: str) -> str:
    """Return a text on one line that holds no bar and no tag of HTML."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def fenced(text: str) -> str:
    """Return a text as a block of code."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text}\n{fence}\n\n"
