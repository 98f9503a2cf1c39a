"""A browser for tests of pages: no driver, no further package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium")


class Browser:
    """Headless Chromium, spoken to in its DevTools Protocol over a pipe: JSON messages that end in a zero byte."""

    def __init__(self, profile: Path, webgl: bool = False) -> None:
        assert CHROMIUM
        (read, self.write), (self.read, write) = os.pipe(), os.pipe()
        flags = ["--headless", "--no-sandbox", "--no-first-run", "--remote-debugging-pipe"]
        flags += [f"--disable-{part}" for part in ("quic", "sync", "background-networking", "component-update")]
        flags += (
            ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
            if webgl
            else ["--disable-gpu", "--disable-3d-apis"]
        )
        shell = ["bash", "-c", f'exec "$@" 3<&{read} 4>&{write}', "-"]  # Chromium reads from 3 and writes to 4
        self.process = subprocess.Popen(
            [*shell, CHROMIUM, *flags, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(read, write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read)
        os.close(write)
        self.rest, self.sent, self.events = b"", 0, list[dict[str, Any]]()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for part in ("Network", "Runtime", "Log", "Page"):
            self.call(f"{part}.enable")

    session: str | None = None

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result; events that come meanwhile are kept."""
        self.sent += 1
        number, message = self.sent, {"id": self.sent, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        answer = self.wait(lambda m: m.get("id") == number)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def wait(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Read messages until one is wanted."""
        while True:
            while b"\0" not in self.rest:
                data = os.read(self.read, 1 << 16)
                assert data, "Chromium has ended"
                self.rest += data
            line, self.rest = self.rest.split(b"\0", 1)
            message: dict[str, Any] = json.loads(line)
            self.events.append(message)
            if wanted(message):
                return message

    def open(self, url: str) -> None:
        """Load a page and everything in it."""
        self.call("Page.navigate", url=url)
        self.wait(lambda m: m.get("method") == "Page.loadEventFired")

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def of(self, method: str) -> list[dict[str, Any]]:
        """Return the parameters of the events of one kind."""
        return [event["params"] for event in self.events if event.get("method") == method]

    def close(self) -> None:
        """End the browser."""
        self.session = None
        self.call("Browser.close")
        self.process.wait(30)
        os.close(self.read)
        os.close(self.write)
