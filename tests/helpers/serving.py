"""A server of tiny runs, started as users start it, and what its tests ask it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

LONG = {"steps": 4000, "sampler": "heun"}
"""How a job samples that no test waits for."""


class Served:
    """A running server."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.process, self.address = process, address
        self.client = httpx.Client(base_url=address, timeout=60, trust_env=False)

    def get(self, path: str) -> Any:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, **request: Any) -> httpx.Response:
        return self.client.post("/api/jobs", json=request)

    def submit(self, **request: Any) -> str:
        answer = self.post(**request)
        assert answer.status_code == 202, answer.text
        number: str = answer.json()["id"]
        return number

    def wait(self, job: str) -> dict[str, Any]:
        """Return the status of a job that is over."""
        while True:
            status: dict[str, Any] = self.get(f"/api/jobs/{job}")
            if status["state"] in ("done", "failed", "cancelled"):
                return status
            time.sleep(0.05)

    def until(self, job: str, state: str) -> None:
        """Wait until a job is in a state."""
        while self.get(f"/api/jobs/{job}")["state"] != state:
            time.sleep(0.05)

    def run(self, **request: Any) -> dict[str, Any]:
        """Return the results of a job, which has its id."""
        job = self.submit(**request)
        status = self.wait(job)
        assert status["state"] == "done", status
        found: dict[str, Any] = self.get(f"/api/jobs/{job}/results")
        return found

    def failure(self, **request: Any) -> str:
        """Return why a job failed."""
        status = self.wait(self.submit(**request))
        assert status["state"] == "failed", status
        message: str = status["message"]
        return message

    def file(self, url: str) -> bytes:
        answer = self.client.get(url)
        assert answer.status_code == 200, answer.text
        return answer.content

    def files(self, results: dict[str, Any]) -> list[bytes]:
        """Return the samples of a job as bytes."""
        return [self.file(sample["url"]) for sample in results["samples"]]

    def upload(self, data: bytes, suffix: str) -> str:
        answer = self.client.post("/api/files", params={"suffix": suffix}, content=data)
        assert answer.status_code == 201, answer.text
        number: str = answer.json()["id"]
        return number

    def worker(self) -> int:
        """Return the number of the process that computes."""
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=True)
        return int(found.stdout.split()[0])


@contextmanager
def serving(runs: Sequence[Path], *words: str) -> Iterator[Served]:
    """Start `polydiff serve` on a free port, and end it by Ctrl-C."""
    command = [sys.executable, "-m", "polydiff", "serve", *map(str, runs), "--port", "0", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    told = list[str]()
    for line in process.stderr:
        told.append(line)
        if found := re.search(r"http://\S+?(?=\.\s)", line):
            break
    else:
        raise AssertionError("".join(told))
    threading.Thread(target=process.stderr.read, daemon=True).start()  # so that the pipe never fills
    served = Served(process, found[0])
    try:
        yield served
    finally:
        served.client.close()
        process.send_signal(signal.SIGINT)
        process.wait(60)
