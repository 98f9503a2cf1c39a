"""Pages from templates, which share the frame `base.html` and the table of metrics `scores.html` beside this module."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from polydiff.gallery.page import POLICY


def rendered(package: str, parts: Mapping[str, Any]) -> str:
    """Return the HTML of a page.

    Arguments:
        package: Package that holds its template, `template.html`, which extends `base.html`.
        parts: Name -> value in the template; the frame needs `name` and `scripts`.
    """
    loader = ChoiceLoader([PackageLoader(package, "."), PackageLoader("polydiff.report", ".")])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.get_template("template.html")
    return template.render(**parts, policy=POLICY, version=metadata.version("polydiff"))
