"""Messages between the server and its worker: one JSON object a line, each with the key "what".

To the worker: load (runs, weights, ema, plugins, limits), job (id, model, folder, job), stop (id).
From the worker: ready (cards, scripts), failed (message), progress (id, share), done (id, notes, given),
wrong (id, message), broken (id, message), stopped (id).
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from typing import IO, Any

Message = dict[str, Any]

LONGEST = 2**26
"""Most bytes of a message: scripts of a domain's pictures take less than a MB."""


def encode(message: Message) -> bytes:
    """Return a message as a line."""
    return json.dumps(message).encode() + b"\n"


def decode(line: bytes) -> Message:
    """Return the message of a line; raise ValueError if it is none."""
    found = json.loads(line)
    if not isinstance(found, dict) or not isinstance(found.get("what"), str):
        raise ValueError("not a message")
    return found


class Channel:
    """The worker's end: messages come from stdin and go to what was stdout.

    From here on, stdout is stderr, so that a library that prints disturbs no message.
    """

    def __init__(self) -> None:
        self._in: IO[bytes] = os.fdopen(os.dup(0), "rb")
        self._out: IO[bytes] = os.fdopen(os.dup(1), "wb", buffering=0)
        self._lock = threading.Lock()
        os.dup2(2, 1)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        sys.stdout = sys.stderr

    def send(self, what: str, **more: Any) -> None:
        """Send a message."""
        with self._lock:
            self._out.write(encode({"what": what, **more}))

    def messages(self) -> Iterator[Message]:
        """Yield messages until the server is gone."""
        for line in iter(self._in.readline, b""):
            yield decode(line)
