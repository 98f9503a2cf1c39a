"""The site of the documentation: `make docs` builds it into build/docs, from these pages and those of site_pages.py.

Links from a page to files outside of docs/, which GitHub follows, become plain text, since the site has no such files.
Formulas become MathML, which browsers show without a script.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import formulas  # noqa: E402 - they stand beside this file
import site_pages  # noqa: E402

project = "polydiff"
author = "the authors of polydiff"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "index"
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["requirements.txt"]
default_role = "py:obj"
nitpicky = False
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "attrs_block"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_inherit_docstrings = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
highlight_language = "none"
html_theme = "furo"
html_title = "polydiff"
html_static_path = ["start", "generated/static"]
html_math_renderer = formulas.NAME
html_css_files = ["start.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_theme_options = {"sidebar_hide_name": False, "top_of_page_buttons": []}
html_extra_path: list[str] = []

MATHS = re.compile(r"^( *)\$\$(.*?)\$\$$", re.M | re.S)
OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(?!docs/)([^)#]+)(?:#[^)]*)?\)")
INDENTED = re.compile(r"(\n\n)((?: {2,}\S[^\n]*\n?)+)")


def as_on_the_site(app: Any, docname: str, source: list[str]) -> None:
    """Change a page from what GitHub shows to what the site shows: links, formulas, the molecule of the start page.

    Links to files outside of docs/ become plain text, with the path unless the text names it.
    """
    if docname.startswith("generated/"):
        return
    source[0] = MATHS.sub(lambda match: f"```{{math}}\n{match[2].strip()}\n```", source[0])
    if docname == root_doc:
        source[0] = site_pages.with_molecule(source[0])

    def plain(match: re.Match[str]) -> str:
        text, path = match[1], match[2]
        if path == "CHANGELOG.md":
            return f"[{text}](/generated/changelog.md)"
        if path == "benchmarks/RESULTS.md":
            return f"[{text}](/generated/results.md)"
        return f"`{path}`" if text in path else f"{text} (`{path}`)"

    source[0] = OUTSIDE.sub(plain, source[0])


def as_rst(app: Any, what: str, name: str, thing: object, options: Any, lines: list[str]) -> None:
    """Turn the docstrings, which are plain text with `names` and $$formulas$$, into reStructuredText."""
    text = "\n".join(lines)
    if what == "module":  # what it indents are tables and formulas; elsewhere, sections such as Arguments are indented
        text = INDENTED.sub(r"\1::\n\n\2", text)
    text = MATHS.sub(directive, text)
    literal = what == "module"
    lines[:] = [
        line if (literal and line.startswith("  ")) or FORMULA in line else escaped(line) for line in text.split("\n")
    ]
    lines[:] = [line.replace(FORMULA, "") for line in lines]
    kept[name] = list(lines)


FORMULA = "\0"
"""Mark of lines of a formula, in which no sign is escaped."""


def directive(match: re.Match[str]) -> str:
    """Return a formula between $$ and $$ as a directive."""
    inner = [f"{match[1]}   {line.strip()}{FORMULA}" for line in match[2].strip().split("\n")]
    return "\n".join([f"{match[1]}.. math::{FORMULA}", "", *inner, ""])


kept: dict[str, list[str]] = {}
"""Name -> its docstring before napoleon reads it."""


def as_it_was(app: Any, what: str, name: str, thing: object, options: Any, lines: list[str]) -> None:
    """Undo what napoleon makes of an attribute: it reads "Kind of noise: ..." as a type and its description."""
    if what in ("attribute", "data", "property"):
        lines[:] = kept[name]


def escaped(line: str) -> str:
    """Return a line in which signs outside of `names` have no meaning for reStructuredText."""
    parts = re.split(r"(`[^`]*`)", line)
    return "".join(
        part if i % 2 else re.sub(r"([*|])|_(?=\W|$)", lambda match: f"\\{match[0]}", part)
        for i, part in enumerate(parts)
    )


def setup(app: Any) -> None:
    """Write the generated pages, and register what changes pages and docstrings."""
    site_pages.write(HERE / "generated")
    formulas.register(app)
    app.connect("source-read", as_on_the_site)
    app.connect("autodoc-process-docstring", as_rst, priority=100)
    app.connect("autodoc-process-docstring", as_it_was, priority=900)
