"""`polydiff serve`: binds an address, loads the models, and serves until Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import webbrowser
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from polydiff.serve.engine import Engine
from polydiff.serve.worker.process import Load
from polydiff.support.errors import UserError
from polydiff.support.progress import log
from polydiff.support.signals import Terminated

if TYPE_CHECKING:
    import uvicorn

INSTALL = "`polydiff serve` needs starlette and uvicorn. Install them: pip install 'polydiff[serve]'."
CLOSING = 3
"""Seconds that answers have to end after Ctrl-C."""


def need_packages() -> None:
    """Raise UserError unless what the server needs is installed."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UserError(INSTALL) from error


def serve(load: Load, host: str, port: int, names: Collection[str] = (), show: bool = False) -> None:
    """Serve models until Ctrl-C or SIGTERM.

    Arguments:
        load: What to serve, and the limits.
        host: Name or address to listen at.
        port: Port; 0: a free one.
        names: Names of this server in requests, besides its address, localhost and `host`.
        show: Whether to open a browser.

    Raises:
        UserError: A package is missing, the address cannot be used, or the models cannot be loaded.
    """
    need_packages()
    with bound(host, port) as listening:
        stopped = asyncio.run(run(load, listening, host, names, show))
    if stopped:
        raise Terminated if stopped[0] == signal.SIGTERM else KeyboardInterrupt


async def run(load: Load, listening: socket.socket, host: str, names: Collection[str], show: bool) -> list[int]:
    """Load the models, serve them at a bound socket, and return the signals that ended it; arguments as of `serve`."""
    stopped: list[int] = []
    log(f"Loading {', '.join(load.runs)} ...")
    async with Engine(load) as engine:
        server = uvicorn_server(engine, listening, host, names, stopped)
        address = url_of(listening, host)
        log(f"Serving at {address}. Ctrl-C ends it.")
        if show:
            asyncio.get_running_loop().run_in_executor(None, webbrowser.open, address)
        await server.serve(sockets=[listening])
    return stopped


def uvicorn_server(
    engine: Engine, listening: socket.socket, host: str, names: Collection[str], stopped: list[int]
) -> uvicorn.Server:
    """Return the server of an engine. Signals end it and its streams, and are put into `stopped`."""
    import uvicorn

    from polydiff.serve.web.app import make_app
    from polydiff.serve.web.guard import Guard

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: Any) -> None:
            engine.closing.set()
            stopped.append(sig)  # raised when the worker has ended, where uvicorn would raise it before
            self.should_exit, self.force_exit = True, len(stopped) > 1

    known = {*names, host, socket.gethostname()}
    app = Guard(make_app(engine), {name.lower() for name in known}, is_loopback(listening))
    config = uvicorn.Config(
        app, lifespan="off", log_level=logging.WARNING, access_log=False, server_header=False,
        timeout_graceful_shutdown=CLOSING, ws="none",
    )  # fmt: skip
    return Server(config)


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address.

    Raises:
        UserError: There is no such address, or another program uses it.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UserError(f"--host {host}: {error.strerror or error}.") from error
    try:
        if sys.platform != "win32":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen()  # now, not when the models are loaded: a second server at this address fails at once
    except OSError as error:
        listening.close()
        other = "Choose another --port, or 0 for a free one."
        raise UserError(f"{host}:{port} cannot be used: {error.strerror or error}. {other}") from error
    return listening


def is_loopback(listening: socket.socket) -> bool:
    """Return whether a socket is bound to an address of this machine alone."""
    return str(listening.getsockname()[0]).startswith("127.") or listening.getsockname()[0] == "::1"


def url_of(listening: socket.socket, host: str) -> str:
    """Return the address of a server as a browser takes it."""
    port = listening.getsockname()[1]
    shown = socket.gethostname() if host in ("0.0.0.0", "::") else host  # noqa: S104 - compares only
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
