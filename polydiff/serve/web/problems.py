"""Answers as JSON, and the answer to each kind of error."""

from __future__ import annotations

import logging
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from polydiff.serve.answers import Problem
from polydiff.serve.engine import Busy, Missing
from polydiff.serve.schema import KINDS
from polydiff.support.errors import UserError, printable

log = logging.getLogger("polydiff.serve")

NAMES = tuple(kind.__name__.lower() for kind in KINDS)
"""Kinds of jobs."""
TYPES = ("bool", "int", "float", "constrained-str", "[key]")
"""Types of values that conditions and options can have, as pydantic names them; and a name in place of a value."""


def answer(model: BaseModel, status: int = 200, **headers: str) -> Response:
    """Return an answer as JSON."""
    content = model.model_dump_json(exclude_none=True)
    return Response(content, status, headers or None, "application/json")


def problem(status: int, error: str, where: str = "", **headers: str) -> Response:
    """Return what is wrong with a request."""
    return answer(Problem(error=error, where=where), status, **headers)


async def on_busy(request: Request, error: Busy) -> Response:
    """The queue is full."""
    return problem(429, str(error), **{"retry-after": str(error.seconds)})


async def on_missing(request: Request, error: Missing) -> Response:
    """What the request names does not exist."""
    return problem(404, str(error))


async def on_user_error(request: Request, error: UserError) -> Response:
    """A value of the request is wrong."""
    return problem(422, str(error), getattr(error, "where", ""))


async def on_invalid(request: Request, error: ValidationError) -> Response:
    """The body has the wrong form; the first mistake is reported."""
    found = error.errors(include_url=False, include_input=False)
    status = 400 if found[0]["type"] == "json_invalid" else 422
    where = field_of(found[0])
    expected = dict.fromkeys(one["msg"] for one in found if field_of(one) == where)
    first, *others = [text.removeprefix("Value error, ") for text in expected]
    message = " or ".join([first, *(text.removeprefix("Input should be ") for text in others)])
    if where == "kind":
        message = f"The kind of a job is one of {', '.join(NAMES)}."
    return problem(status, printable(message)[:500], printable(where)[:200])


def field_of(mistake: ErrorDetails) -> str:
    """Return the dotted key of the request's JSON that a mistake is about; "": the whole request.

    pydantic names the kind of the job before it and, where a value may have several types, a type after it.
    """
    if mistake["type"].startswith("union_tag"):
        return "kind"
    keys = [*mistake["loc"]]
    keys = keys[1:] if keys and keys[0] in NAMES else keys
    return ".".join(map(str, keys[:-1] if keys and keys[-1] in TYPES else keys))


async def on_http(request: Request, error: HTTPException) -> Response:
    """There is no such address, or it does not know the method."""
    return problem(error.status_code, error.detail, **(dict(error.headers) if error.headers else {}))


async def on_gone(request: Request, error: ClientDisconnect) -> Response:
    """The client left in the middle of its request."""
    return problem(400, "The request is incomplete.")


async def on_error(request: Request, error: Exception) -> Response:
    """An error of the program."""
    log.error("%s %s", request.method, request.url.path, exc_info=error)
    return problem(500, "An error of the program, which its output describes.")


HANDLERS: dict[Any, Any] = {
    Busy: on_busy, Missing: on_missing, UserError: on_user_error, ValidationError: on_invalid,
    HTTPException: on_http, ClientDisconnect: on_gone, Exception: on_error,
}  # fmt: skip
