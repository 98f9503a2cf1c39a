"""The queue of a server: takes jobs, sends them to the worker one by one, and stops abandoned ones."""

from __future__ import annotations

import asyncio
import logging
import math
import tempfile
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from polydiff.machine.environment import version
from polydiff.serve.answers import Health, ModelCard, State
from polydiff.serve.checks import check
from polydiff.serve.jobs import JobRecord, UploadedFile, new_id
from polydiff.serve.limits import FILES, KEPT, KEPT_SECONDS, Limits
from polydiff.serve.schema import Request, Sample, Source
from polydiff.serve.worker.process import Died, Load, WorkerProcess
from polydiff.support.errors import UserError, unknown

LOOK_EVERY = 0.25
"""Seconds between two checks for abandoned jobs."""
GRACE = 10.0
"""Seconds that the worker has to stop a job; then it is killed."""
AGAIN = 5.0
"""Seconds until a worker that could not start is started again."""

log = logging.getLogger("polydiff.serve")


class Busy(Exception):
    """The queue is full.

    Arguments:
        seconds: Time after which to try again.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"The queue is full. Try again in {seconds} s.")
        self.seconds = seconds


class Missing(Exception):
    """There is no such job, sample, file or model; the message names it."""


class Engine:
    """The state of a server. Open it as a context: it then has a worker, which has loaded the models.

    Arguments:
        load: What the worker loads.

    Raises:
        UserError: On entering: the models cannot be loaded.
    """

    def __init__(self, load: Load) -> None:
        self.limits: Limits = load.limits
        self.worker = WorkerProcess(load)
        self.cards: dict[str, ModelCard] = {}
        self.scripts: dict[str, dict[str, str]] = {}
        self.jobs: dict[str, JobRecord] = {}
        self.files: dict[str, UploadedFile] = {}
        self.waiting: deque[JobRecord] = deque()
        self.running: JobRecord | None = None
        self.problem, self.version = "", version("polydiff")
        self.ready = False
        self.closing = asyncio.Event()
        self._arrived = asyncio.Event()
        self._began = time.monotonic()
        self._means = 2.0  # seconds of a job, a moving average
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._place = tempfile.TemporaryDirectory(prefix="polydiff-serve-")
        self.folder = Path(self._place.name)
        try:
            await self._start_worker()
        except BaseException:
            self._place.cleanup()
            raise
        self._tasks = [asyncio.create_task(work()) for work in (self._work, self._look)]
        return self

    async def __aexit__(self, *error: object) -> None:
        self.closing.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for job in self.jobs.values():
            job.end("cancelled", "The server has ended.")
        self.worker.kill() if self.running else None
        await self.worker.close()
        self._place.cleanup()

    def health(self) -> Health:
        """Return whether the server works."""
        status: Any = "ok" if self.ready else "failed" if self.problem else "starting"
        seconds = round(time.monotonic() - self._began, 1)
        return Health(
            status=status, message=self.problem, queued=len(self.waiting), running=int(self.running is not None),
            version=self.version, seconds=seconds,
        )  # fmt: skip

    def submit(self, request: Request) -> JobRecord:
        """Queue a job and return it.

        Raises:
            UserError: The request exceeds a limit, or the model cannot do it.
            Missing: Its model or its source does not exist.
            Busy: The queue is full.
        """
        model = request.model or next(iter(self.cards))
        if model not in self.cards:
            raise Missing(str(unknown("model", model, self.cards)))
        check(request, self.cards[model], self.limits)
        order = request.model_dump(exclude={"model"})
        if "sampling" in order:
            order["sampling"] = request.sampling.changes()  # type: ignore[union-attr] # all but Interpolate have it
        if isinstance(request, Sample):
            order["stages"] = {name: how.changes() for name, how in request.stages.items()}
        for key in ("source", "a", "b"):
            if key in order:
                order[key] = str(self.source(getattr(request, key)))
        if order.get("mask"):
            order["mask"] = str(self.uploaded(order["mask"]).path)
        if len(self.waiting) >= self.limits.queue:
            raise Busy(self.patience())
        number = new_id()
        job = JobRecord(request.kind, model, order, self.folder / number, number)
        self.jobs[number] = job
        self.waiting.append(job)
        self._arrived.set()
        return job

    def patience(self) -> int:
        """Return the seconds after which there is likely a place in the queue."""
        return min(60, max(1, math.ceil(self._means)))

    def job(self, number: str) -> JobRecord:
        """Return a job and note the request; raise Missing if there is none."""
        found = self.jobs.get(number)
        if found is None:
            raise Missing("There is no such job, or its results were deleted after a time without requests.")
        found.touch()
        return found

    def position(self, job: JobRecord) -> int:
        """Return the number of jobs before one."""
        return self.waiting.index(job) + int(self.running is not None) if job in self.waiting else 0

    def source(self, source: Source) -> Path:
        """Return the file of an example that a request names."""
        if source.file is not None:
            return self.uploaded(source.file).path
        job = self.job(source.job or "")
        if job.state != "done":
            raise Missing("The job of this sample has no results.")
        files = job.sample_files()
        if source.sample >= len(files):
            raise Missing(f"There is no sample {source.sample}: the job has {len(files)}.")
        return job.folder / files[source.sample]

    def uploaded(self, number: str) -> UploadedFile:
        """Return an uploaded file; raise Missing if there is none."""
        found = self.files.get(number)
        if found is None:
            raise Missing("There is no such file, or it was deleted after a time without use.")
        found.touch()
        return found

    def keep(self, data: bytes, suffix: str) -> str:
        """Write an uploaded file under a name of our own, and return its id."""
        while len(self.files) >= FILES:
            oldest = min(self.files, key=lambda number: self.files[number].seen)
            self.files.pop(oldest).path.unlink(missing_ok=True)
        number = new_id()
        path = self.folder / f"file-{number}{suffix}"
        path.write_bytes(data)
        self.files[number] = UploadedFile(path)
        return number

    async def any_of(self, changed: asyncio.Event, seconds: float) -> bool:
        """Wait for a change, or for the end of the server; return False if neither comes within some seconds."""
        waits = [asyncio.ensure_future(event.wait()) for event in (changed, self.closing)]
        try:
            done, _ = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return bool(done)

    async def cancel(self, job: JobRecord, why: str, state: State = "cancelled") -> None:
        """Stop a job, whether it waits or runs; `state` is how it then ended."""
        if job.over:
            return
        job.end(state, why)
        with suppress(ValueError):
            self.waiting.remove(job)
        if job is self.running:
            await self.worker.stop(job.id)
            self._tasks.append(asyncio.create_task(self._insist(job)))

    async def _insist(self, job: JobRecord) -> None:
        """Kill the worker if it has not stopped a job in time."""
        await asyncio.sleep(GRACE)
        if self.running is job:
            log.warning("The worker does not stop a job; it is killed.")
            self.worker.kill()

    async def _start_worker(self) -> None:
        message = await self.worker.start()
        self.cards = {found["name"]: ModelCard.model_validate(found) for found in message["cards"]}
        self.scripts = message["scripts"]
        self.ready, self.problem = True, ""

    async def _work(self) -> None:
        """Compute jobs, one after the other, with a new worker after one has died."""
        while True:
            while not self.waiting:
                self._arrived.clear()
                await self._arrived.wait()
            job = self.running = self.waiting.popleft()
            job.begin()
            try:
                await self._compute(job)
            finally:
                self.running = None
                if job.state != "done":
                    job.remove()

    async def _compute(self, job: JobRecord) -> None:
        """Compute a job and note how it ended."""
        order = {"what": "job", "id": job.id, "model": job.model, "folder": str(job.folder), "job": job.order}
        try:
            answer = await self.worker.compute(order, job.advance)
        except Died as error:
            job.end("failed", f"{error} A new one starts. Try again, with fewer samples if memory was short.")
            await self._restart()
            return
        match answer["what"]:
            case "done":
                job.notes, job.given = answer["notes"], answer["given"]
                job.end("done")
                self._means += 0.2 * ((job.ended or 0) - (job.started or 0) - self._means)
            case "wrong":
                job.end("failed", self.without_paths(answer["message"]))
            case "broken":
                job.end("failed", f"An error of the program: {self.without_paths(answer['message'])}.")
            case _:
                job.end("cancelled")

    def without_paths(self, message: str) -> str:
        """Return a message with words in place of the server's paths of uploaded files and results."""
        for file in self.files.values():
            message = message.replace(str(file.path), "the file")
        for job in self.jobs.values():
            for name in job.sample_files() if str(job.folder) in message else []:
                message = message.replace(str(job.folder / name), "the sample")
        return message

    async def _restart(self) -> None:
        """Start a new worker, and try again while that fails."""
        self.ready = False
        await self.worker.close()
        while True:
            try:
                await self._start_worker()
                return
            except UserError as error:
                self.problem = str(error)
                log.error("%s", error)
                while self.waiting:
                    self.waiting.popleft().end("failed", f"The models cannot be loaded again: {error}")
                await asyncio.sleep(AGAIN)

    async def _look(self) -> None:
        """Stop abandoned jobs, and delete results that are no longer requested."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            for job in list(self.jobs.values()):
                if not job.over and job.idle() > self.limits.patience:
                    await self.cancel(job, "It was stopped, since no client requested it any more.")
                if job.started is not None and time.monotonic() - job.started > self.limits.seconds:
                    why = f"It took more than {self.limits.seconds:g} s, the limit of this server."
                    await self.cancel(job, why, "failed")
            self._forget()
            self._tasks = [task for task in self._tasks if not task.done()]

    def _forget(self) -> None:
        over = sorted((job for job in self.jobs.values() if job.over), key=lambda job: job.seen)
        for i, job in enumerate(over):
            if job is not self.running and (job.idle() > KEPT_SECONDS or i < len(over) - KEPT):
                del self.jobs[job.id]
                job.remove()
        for number, file in list(self.files.items()):
            if time.monotonic() - file.seen > KEPT_SECONDS:
                self.files.pop(number).path.unlink(missing_ok=True)
