"""Formulas of the site as MathML: a renderer for Sphinx that needs no script, so pages work offline and from files."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

NAME = "mathml"


def mathml(tex: str, block: bool) -> str:
    """Return a formula in TeX as MathML; raise ValueError if a command is not known."""
    found: str = convert(tex, display="block" if block else "inline")
    if "\\" in found.replace("\\\\", ""):
        raise ValueError(f"{tex}: not all of it can be written as MathML.")
    return found


def inline(translator: Any, node: Any) -> None:
    """Write a formula within text."""
    translator.body.append(mathml(node.astext(), block=False))
    raise nodes.SkipNode


def block(translator: Any, node: Any) -> None:
    """Write a formula on lines of its own."""
    translator.body.append(f'<div class="formula">{mathml(node.astext(), block=True)}</div>')
    raise nodes.SkipNode


def register(app: Any) -> None:
    """Register the renderer."""
    app.add_html_math_renderer(NAME, (inline, None), (block, None))
