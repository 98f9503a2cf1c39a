"""The description of the API in OpenAPI 3.1, made of the pydantic models of requests and answers."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from polydiff.machine.environment import version
from polydiff.serve.answers import Health, JobStatus, ModelCard, Models, Problem, Results, Uploaded
from polydiff.serve.schema import KINDS

REFERENCE = "#/components/schemas/{model}"


class Operation(NamedTuple):
    """A method of an address.

    Attributes:
        path: Its address.
        method: Its method.
        summary: What it does.
        status: Status of the answer if all is well.
        answer: Model of the answer, or its media type.
        problems: Other statuses -> when they come.
        body: Media type of the request's body; "": none.
    """

    path: str
    method: str
    summary: str
    status: int
    answer: type[BaseModel] | str
    problems: dict[int, str]
    body: str = ""


GONE = {404: "There is no such job, or its results were deleted."}
OPERATIONS = (
    Operation("/api/health", "GET", "Whether the server works", 200, Health, {}),
    Operation("/api/models", "GET", "All models, and the limits of the server", 200, Models, {}),
    Operation("/api/models/{name}", "GET", "One model", 200, ModelCard, {404: "There is no such model."}),
    Operation(
        "/api/models/{name}/scripts/{script}", "GET", "A script of the domain's pictures", 200, "text/javascript",
        {404: "There is no such script."},
    ),
    Operation(
        "/api/jobs", "POST", "Queue a job", 202, JobStatus,
        {
            400: "The body is no JSON.", 404: "The model, the sample or the file does not exist.",
            413: "The body is too long.", 415: "The body is not sent as JSON.",
            422: "A key, a value or a limit is wrong.", 429: "The queue is full; Retry-After is the time to wait.",
        },
        "application/json",
    ),
    Operation("/api/jobs/{id}", "GET", "How far a job is", 200, JobStatus, GONE),
    Operation("/api/jobs/{id}", "DELETE", "Stop a job", 200, JobStatus, GONE),
    Operation(
        "/api/jobs/{id}/events", "GET",
        "How far a job is, as a stream of server-sent events; the job stops when its last reader disconnects",
        200, "text/event-stream", GONE,
    ),
    Operation(
        "/api/jobs/{id}/results", "GET", "What a job has made", 200, Results, {**GONE, 409: "It has no results."}
    ),
    Operation("/api/jobs/{id}/files/{name}", "GET", "A file of a job's results", 200, "application/octet-stream", GONE),
    Operation("/api/jobs/{id}/page", "GET", "The domain's own page of the samples", 200, "text/html", GONE),
    Operation("/api/jobs/{id}/zip", "GET", "All files", 200, "application/zip", {**GONE, 409: "It has no files."}),
    Operation(
        "/api/files", "POST", "Upload an example or a mask, as bytes; ?suffix=png is its kind", 201, Uploaded,
        {413: "The file is too large.", 422: "The suffix is missing, or the file is empty."},
        "application/octet-stream",
    ),
    Operation("/api/openapi.json", "GET", "This description", 200, "application/json", {}),
    Operation("/api/docs", "GET", "This description as a page", 200, "text/html", {}),
)  # fmt: skip
"""All addresses under /api."""


@cache
def document() -> dict[str, Any]:
    """Return the description as JSON."""
    answers = {each.answer for each in OPERATIONS if isinstance(each.answer, type)} | {Problem}
    named = [(model, "validation") for model in KINDS] + [(model, "serialization") for model in answers]
    named.sort(key=lambda pair: pair[0].__name__)
    _, schemas = models_json_schema(named, ref_template=REFERENCE)  # type: ignore[arg-type] # literals, widened
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = described(operation)
    info = {"title": "polydiff serve", "version": version("polydiff"), "summary": "Draw and edit samples of models."}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": schemas["$defs"]}}


def described(operation: Operation) -> dict[str, Any]:
    """Return an operation as OpenAPI has it."""
    answer = operation.answer
    content = {"application/json": reference(answer)} if isinstance(answer, type) else {answer: {}}
    answers = {str(operation.status): {"description": "All is well.", "content": content}}
    for status, when in operation.problems.items():
        answers[str(status)] = {"description": when, "content": {"application/json": reference(Problem)}}
    names = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
    ]
    if operation.path == "/api/files":
        parameters.append({"name": "suffix", "in": "query", "required": True, "schema": {"type": "string"}})
    body = {"requestBody": {"required": True, "content": {operation.body: body_schema(operation)}}}
    return {
        "operationId": operation.method.lower() + operation.path.title().translate(str.maketrans("", "", "/{}.")),
        "summary": operation.summary,
        **({"parameters": parameters} if parameters else {}),
        **(body if operation.body else {}),
        "responses": answers,
    }


def body_schema(operation: Operation) -> dict[str, Any]:
    """Return what the body of a request is."""
    if operation.body != "application/json":
        return {}
    kinds = {model.__name__.lower(): REFERENCE.format(model=model.__name__) for model in KINDS}
    one_of = [{"$ref": reference} for reference in kinds.values()]
    return {"schema": {"oneOf": one_of, "discriminator": {"propertyName": "kind", "mapping": kinds}}}


def reference(model: type[BaseModel]) -> dict[str, Any]:
    """Return a reference to the schema of a model."""
    return {"schema": {"$ref": REFERENCE.format(model=model.__name__)}}
