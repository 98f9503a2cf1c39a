"""Answers as JSON, and what is said of each kind of mistake."""

from __future__ import annotations

import logging
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from polydiff.serve.answers import Problem
from polydiff.serve.engine import Busy, Missing
from polydiff.support.errors import UserError, printable

log = logging.getLogger("polydiff.serve")


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
    """The request asks for what is not possible."""
    return problem(422, str(error))


async def on_invalid(request: Request, error: ValidationError) -> Response:
    """The body has the wrong form; the first mistake is reported."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = printable(".".join(map(str, first["loc"])))[:200]
    status = 400 if first["type"] == "json_invalid" else 422
    return problem(status, printable(first["msg"])[:500], where)


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
