"""The files of the page as they are sent, and the page that describes the API."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

TYPES = {".css": "text/css", ".js": "text/javascript"}
"""Suffix of a file of the page -> its type."""
STYLE = "style.css"


async def page(request: Request) -> Response:
    """Send the page."""
    return HTMLResponse(content("index.html"))


async def static(request: Request) -> Response:
    """Send a style or a module of the page."""
    name = request.path_params["name"]
    if name not in names():
        raise HTTPException(404)
    return Response(content(name), media_type=TYPES[suffix(name)], headers={"cache-control": "no-cache"})


@cache
def names() -> frozenset[str]:
    """Return the names of the styles and modules of the page."""
    every = (path.name for path in resources.files("polydiff.serve.page").iterdir())
    return frozenset(name for name in every if suffix(name) in TYPES)


def suffix(name: str) -> str:
    """Return the suffix of a file's name, with its dot; "" if it has none."""
    return name[name.rindex(".") :] if "." in name else ""


@cache
def content(name: str) -> bytes:
    """Return a file of the page; its style begins with the colours and fonts of the report."""
    own = resources.files("polydiff.serve.page").joinpath(name).read_bytes()
    return resources.files("polydiff.report").joinpath("palette.css").read_bytes() + own if name == STYLE else own


def docs_page(described: Mapping[str, Any]) -> str:
    """Return the page that describes the API, made of its OpenAPI document."""
    from jinja2 import Environment, PackageLoader

    loader = PackageLoader("polydiff.serve.page", ".")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    schemas = described["components"]["schemas"]
    return environment.get_template("docs.html").render(api=described, schemas=schemas, types=types)


def types(schema: Mapping[str, Any]) -> str:
    """Return the type of a JSON schema in words, such as "number or null"."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(types, schema["anyOf"])))
    if "const" in schema or "enum" in schema:
        return ", ".join(repr(value) for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {types(schema['items'])}" if "items" in schema else "list"
    return str(schema.get("type", "any"))
