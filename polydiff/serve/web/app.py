"""The application of a server: the page, and the API under /api."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from polydiff.gallery.names import SHOW
from polydiff.serve.answers import Frame, Models, Results, Uploaded
from polydiff.serve.engine import Engine
from polydiff.serve.jobs import JobRecord
from polydiff.serve.limits import BODY
from polydiff.serve.schema import JOB
from polydiff.serve.web.guard import SHOWN_POLICY
from polydiff.serve.web.openapi import document
from polydiff.serve.web.pages import docs_page, page, static
from polydiff.serve.web.problems import HANDLERS, answer, problem

MEDIA = {
    ".png": "image/png", ".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg",
    ".sdf": "chemical/x-mdl-sdfile", ".smi": "text/plain; charset=utf-8", ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
}  # fmt: skip
"""Suffix of a result -> its type. Any other is a download of bytes, and never a page."""
SUFFIX = re.compile(r"\.[a-z0-9]{1,8}(\.[a-z0-9]{1,8})?")
QUIET = 5.0
"""Seconds of silence after which a stream sends a comment, so that a lost client is noticed."""


def make_app(engine: Engine) -> Starlette:
    """Return the application of an opened engine."""
    routes = [Route(path, handler, methods=[method]) for path, method, handler in ROUTES]
    app = Starlette(routes=routes, exception_handlers=HANDLERS)
    app.state.engine = engine
    return app


def engine_of(request: Request) -> Engine:
    """Return the engine of the application."""
    found: Engine = request.app.state.engine
    return found


async def health(request: Request) -> Response:
    """Whether the server works."""
    return answer(engine_of(request).health())


async def models(request: Request) -> Response:
    """The models, their conditions, and the server's limits."""
    engine = engine_of(request)
    return answer(Models(models=list(engine.cards.values()), limits=engine.limits.as_json()))


async def model(request: Request) -> Response:
    """One model."""
    found = engine_of(request).cards.get(request.path_params["name"])
    return answer(found) if found else problem(404, "There is no such model.")


async def script(request: Request) -> Response:
    """A script of a domain's pictures, such as the viewer of molecules."""
    scripts = engine_of(request).scripts.get(request.path_params["name"], {})
    text = scripts.get(request.path_params["script"])
    if text is None:
        return problem(404, "There is no such script.")
    return Response(text, media_type="text/javascript", headers={"cache-control": "max-age=3600"})


async def body_of(request: Request, most: int) -> bytes:
    """Return the body of a request.

    Raises:
        HTTPException: It is longer than `most` bytes.
    """
    too_long = HTTPException(413, f"The body is longer than {most:,} bytes, the limit of this server.")
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > most:
        raise too_long
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > most:
            raise too_long
    return bytes(data)


async def post_job(request: Request) -> Response:
    """Queue a job."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return problem(415, "Send the job as JSON, with Content-Type: application/json.")
    wanted = JOB.validate_json(await body_of(request, BODY))
    job = engine_of(request).submit(wanted)
    return answer(job.status(engine_of(request).position(job)), 202, location=f"/api/jobs/{job.id}")


def job_of(request: Request) -> JobRecord:
    """Return the job that an address names."""
    return engine_of(request).job(request.path_params["id"])


async def get_job(request: Request) -> Response:
    """How far a job is."""
    job = job_of(request)
    return answer(job.status(engine_of(request).position(job)))


async def delete_job(request: Request) -> Response:
    """Stop a job."""
    job = job_of(request)
    await engine_of(request).cancel(job, "It was cancelled.")
    return answer(job.status(0))


async def events(request: Request) -> Response:
    """A stream of how far a job is, as server-sent events; its end stops the job, unless others watch it."""
    engine, job = engine_of(request), job_of(request)
    headers = {"x-accel-buffering": "no"}
    return StreamingResponse(watch(engine, job), media_type="text/event-stream", headers=headers)


async def watch(engine: Engine, job: JobRecord) -> AsyncIterator[str]:
    """Yield the events of a job until it is over or the server ends."""
    job.watchers += 1
    try:
        while True:
            changed = job.changed
            yield f"data: {job.status(engine.position(job)).model_dump_json()}\n\n"
            if job.over or engine.closing.is_set():
                return
            if not await engine.any_of(changed, QUIET):
                yield ": still there\n\n"
    finally:
        job.watchers -= 1
        job.touch()
        if not job.watchers:
            await engine.cancel(job, "Its client disconnected.")


async def results(request: Request) -> Response:
    """What a job has made."""
    job = job_of(request)
    if job.state != "done":
        return problem(409, f"The job is {job.state}, so it has no results.")
    film, manifest, here = job.film(), job.manifest(), f"/api/jobs/{job.id}/files"
    facts = film.get("facts") or {key: value for key, value in manifest.items() if key != "samples"}
    samples = [{**entry, "url": f"{here}/{entry['file']}"} for entry in manifest.get("samples", [])]
    frames = [
        Frame(level=one["level"], state=f"{here}/{one['state']}", estimate=f"{here}/{one['estimate']}")
        for one in film.get("frames", [])
    ]
    given = f"{here}/{job.given}" if job.given else ""
    return answer(Results(id=job.id, facts=facts, samples=samples, given=given, frames=frames, notes=job.notes))


async def file(request: Request) -> Response:
    """A file of a job's results."""
    path = job_of(request).file(request.path_params["name"])
    if path is None or path.name == SHOW:
        return problem(404, "The job has no such file.")
    kind = MEDIA.get(path.suffix, "application/octet-stream")
    how = "inline" if path.suffix in MEDIA else "attachment"
    return FileResponse(path, media_type=kind, filename=path.name, content_disposition_type=how)


async def shown(request: Request) -> Response:
    """The domain's own page of a job's samples, which can do nothing but show itself."""
    path = job_of(request).file(SHOW)
    if path is None:
        return problem(404, "The job has no page.")
    return FileResponse(path, media_type="text/html", headers={"content-security-policy": SHOWN_POLICY})


async def archive(request: Request) -> Response:
    """All files of a job's results as a .zip."""
    job = job_of(request)
    if job.state != "done":
        return problem(409, f"The job is {job.state}, so it has no files.")
    path = await run_in_threadpool(job.archive)
    return FileResponse(path, media_type="application/zip", filename=f"{job.model}-{job.id}.zip")


async def post_file(request: Request) -> Response:
    """Upload a file of an example, or of a mask; the domain's reader checks it when a job uses it."""
    suffix = "." + request.query_params.get("suffix", "").lower().lstrip(".")
    if not SUFFIX.fullmatch(suffix):
        return problem(422, 'Give the kind of file in the address, such as "?suffix=png".', "suffix")
    data = await body_of(request, engine_of(request).limits.upload)
    if not data:
        return problem(422, "The file is empty.")
    number = await run_in_threadpool(engine_of(request).keep, data, suffix)
    return answer(Uploaded(id=number, bytes=len(data)), 201)


async def openapi(request: Request) -> Response:
    """The description of this API in OpenAPI 3.1."""
    return JSONResponse(document())


async def docs(request: Request) -> Response:
    """The same as a page."""
    return HTMLResponse(docs_page(document()))


ROUTES = [
    ("/", "GET", page),
    ("/static/{name}", "GET", static),
    ("/api/health", "GET", health),
    ("/api/models", "GET", models),
    ("/api/models/{name}", "GET", model),
    ("/api/models/{name}/scripts/{script}", "GET", script),
    ("/api/jobs", "POST", post_job),
    ("/api/jobs/{id}", "GET", get_job),
    ("/api/jobs/{id}", "DELETE", delete_job),
    ("/api/jobs/{id}/events", "GET", events),
    ("/api/jobs/{id}/results", "GET", results),
    ("/api/jobs/{id}/files/{name}", "GET", file),
    ("/api/jobs/{id}/page", "GET", shown),
    ("/api/jobs/{id}/zip", "GET", archive),
    ("/api/files", "POST", post_file),
    ("/api/openapi.json", "GET", openapi),
    ("/api/docs", "GET", docs),
]
"""Path, method and handler of each address."""
