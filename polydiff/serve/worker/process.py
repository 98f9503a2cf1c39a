"""The server's end of its worker: starts the process, sends it jobs, and notices its end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from polydiff.serve.limits import Limits
from polydiff.serve.worker.channel import LONGEST, Message, decode, encode
from polydiff.support.errors import UserError

COMMAND = (sys.executable, "-m", "polydiff.serve.worker.main")
ENDING = 5.0
"""Seconds that a worker has to end by itself."""


class Died(Exception):
    """The worker has ended in the middle of its work."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a worker loads.

    Arguments:
        runs: Folders of runs and pipelines.
        weights: "ema" or "model".
        ema: Width of the average, None: that of training.
        plugins: Modules to import first.
        limits: The server's.
    """

    runs: Sequence[str]
    weights: str = "ema"
    ema: float | None = None
    plugins: Sequence[str] = ()
    limits: Limits = field(default_factory=Limits)

    def message(self) -> Message:
        """Return it as a message."""
        own = {"runs": list(self.runs), "weights": self.weights, "ema": self.ema, "plugins": list(self.plugins)}
        return {"what": "load", **own, "limits": self.limits.as_json()}


class WorkerProcess:
    """A worker.

    Arguments:
        load: What it loads.
    """

    def __init__(self, load: Load) -> None:
        self.load = load
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Its number; None if it does not run."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> Message:
        """Start the process and return its message "ready".

        Raises:
            UserError: It cannot load the models, or ends before it has.
        """
        self._process = await asyncio.create_subprocess_exec(
            *COMMAND,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LONGEST,
            start_new_session=True,  # the terminal sends Ctrl-C to the server alone
        )
        try:
            await self._send(self.load.message())
            message = await self._receive()
        except Died as error:
            raise UserError(f"The models cannot be loaded. {error}") from error
        except BaseException:
            self.kill()
            raise
        if message["what"] == "failed":
            await self.close()
            raise UserError(message["message"])
        return message

    async def compute(self, order: Message, progress: Callable[[float], None]) -> Message:
        """Send a job and return the message with which it ends.

        Arguments:
            order: The message "job".
            progress: Called with the share that is done.

        Raises:
            Died: The worker has ended.
        """
        await self._send(order)
        while True:
            message = await self._receive()
            if message.get("id") != order["id"]:
                continue
            if message["what"] != "progress":
                return message
            progress(message["share"])

    async def stop(self, job: str) -> None:
        """Request that the worker stops a job before the next call of the network."""
        with suppress(Died):  # then it has stopped
            await self._send({"what": "stop", "id": job})

    def kill(self) -> None:
        """End the process at once."""
        if self.pid is not None and self._process:
            self._process.kill()

    async def close(self) -> None:
        """End the process."""
        process = self._process
        if process is None or process.stdin is None:
            return
        process.stdin.close()  # which it takes as the end of the server
        try:
            await asyncio.wait_for(process.wait(), ENDING)
        except TimeoutError:
            self.kill()
            await process.wait()

    async def _send(self, message: Message) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(encode(message))
            await self._process.stdin.drain()
        except (ConnectionError, RuntimeError) as error:
            raise Died(await self._end()) from error

    async def _receive(self) -> Message:
        assert self._process is not None
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line.endswith(b"\n"):  # the end of its output
            raise Died(await self._end())
        return decode(line)

    async def _end(self) -> str:
        """Return how the process ended, in a sentence."""
        assert self._process is not None
        try:
            code = await asyncio.wait_for(self._process.wait(), ENDING)
        except TimeoutError:  # it runs, but its output is closed
            self.kill()
            code = await self._process.wait()
        return f"The process that computes {how_it_ended(code)}."


def how_it_ended(code: int) -> str:
    """Return how a process ended, given its exit code: "was killed, perhaps for lack of memory (SIGKILL)"."""
    if code >= 0:
        return f"ended by itself (exit code {code})"
    name: Any = signal.Signals(-code).name if -code in {*signal.Signals} else f"signal {-code}"
    why = ", perhaps for lack of memory" if -code == signal.SIGKILL and os.name == "posix" else ""
    return f"was killed{why} ({name})"
