"""What stands before every request: checks of where it comes from and how long it is, and headers of every answer.

A page on another site can make a browser send requests to 127.0.0.1. Three checks keep it out: the header Host must be
a name of this server, so a name that an attacker points at 127.0.0.1 (DNS rebinding) is refused; Origin, if there is
one, must be this server; and Sec-Fetch-Site, which browsers send and pages cannot set, must not be another site.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""What the page may do: use what this server sends, and fetch nothing else. 3Dmol.js sets styles of elements."""
SHOWN_POLICY = (
    "sandbox allow-scripts; default-src 'none'; img-src data: blob:; media-src data: blob:; font-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
"""What a domain's own page of samples may do: use what it contains, in an origin of its own."""
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
"""Headers of every answer that does not set them itself."""


class Guard:
    """A server's application behind these checks.

    Arguments:
        app: The application.
        names: Names in the header Host, besides localhost and addresses of numbers; lower case.
        loopback: Whether the server listens on this machine alone, so that only its own addresses are right.
    """

    def __init__(self, app: App, names: Collection[str] = (), loopback: bool = True) -> None:
        self.app, self.names, self.loopback = app, {"localhost", *names}, loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        problem = self.problem({key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]})
        if problem:
            await refuse(send, *problem)
            return

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = {key.lower() for key, _ in message.get("headers", [])}
                more = [(key.encode(), value.encode()) for key, value in HEADERS.items() if key.encode() not in own]
                message = {**message, "headers": [*message.get("headers", []), *more]}
            await send(message)

        await self.app(scope, receive, with_headers)

    def problem(self, headers: dict[str, str]) -> tuple[int, str] | None:
        """Return the status and the sentence of a refusal; None if a request may pass."""
        host = headers.get("host", "")
        if not self.known(host):
            return 421, "This server does not have that name. Use its address, or start it with --allow-host NAME."
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return 403, "Pages of other sites may not use this server."
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            if headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document":
                return None  # a link was followed; the other page cannot read what it shows
            return 403, "Pages of other sites may not use this server."
        return None

    def known(self, host: str) -> bool:
        """Return whether a header Host names this server."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in self.names:
                return True
            address = ipaddress.ip_address(name)
        except ValueError:  # no address
            return False
        return address.is_loopback or not self.loopback


async def refuse(send: Send, status: int, sentence: str) -> None:
    """Send a refusal."""
    headers = {"content-type": "application/json", **HEADERS}
    coded = [(key.encode(), value.encode()) for key, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": coded})
    await send({"type": "http.response.body", "body": json.dumps({"error": sentence}).encode()})
